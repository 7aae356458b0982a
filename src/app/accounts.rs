//! Accounts: make, list, get, change, erase.

use super::{
    Access, App, Manages, Operator, Page, PageRequest,
    checked_webhook::new_secret,
    tokens::NewToken,
    webhooks::{NewWebhook, Registered},
};
use crate::{
    domain::{
        account::{self, Account},
        endpoint::TargetUrl,
        profile::Profiles,
        signature::SigningSecret,
        token::{BearerToken, Visible},
    },
    engine::retention,
    error::Result,
    store::{Tx, accounts, erase, notices},
};

pub use crate::store::erase::Extent;

/// Tries to empty the database's log after an erasure.
const EMPTYING: u32 = 20;

/// A checked account: its id and address are well-formed, and its profile exists.
#[derive(Debug)]
pub struct NewAccount {
    id: String,
    profile: &'static str,
    alert_email: Option<String>,
}

impl NewAccount {
    /// Checks an account before it is made, at a door or on the command line.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an id or an address that is not well-formed, or an unknown
    /// profile.
    pub fn new(profiles: &Profiles, id: String, profile: &str, alert_email: Option<String>) -> Result<Self> {
        account::check_id(&id)?;
        alert_email.as_deref().map(account::check_email).transpose()?;
        Ok(Self { id, profile: profiles.named(profile)?.name, alert_email })
    }

    /// Makes the account.
    ///
    /// # Errors
    /// [`Conflict`](crate::error::Error::Conflict) if there is an account of this id, in any profile.
    pub fn create(&self, tx: &Tx<'_>) -> Result<Account> {
        accounts::create(tx, self.profile, &self.id, self.alert_email.as_deref())
    }
}

impl App {
    /// Makes an account.
    ///
    /// # Errors
    /// As [`NewAccount::create`].
    pub async fn create_account(&self, access: &Access<Operator>, new: NewAccount) -> Result<Account> {
        self.write(access, move |tx, _| new.create(tx)).await
    }

    /// A page of accounts, in the order they were made.
    pub async fn accounts(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<Page<Account>> {
        let (size, after) = (self.page_size(&page)?, page.after(|id| Some(id.to_owned()))?);
        let found =
            self.read(access, move |view, visible| accounts::page(view, visible, after.as_deref(), size + 1)).await?;
        Ok(Page::cut(found, size, |account| account.id.clone()))
    }

    /// Makes an account with its first webhook and its first token: all three, or none of them.
    ///
    /// # Errors
    /// As [`App::create_account`], [`App::register`] and [`App::create_token`].
    pub async fn begin_account(
        &self,
        access: &Access<Operator>,
        new: NewAccount,
        webhook: NewWebhook,
        token: NewToken,
    ) -> Result<(Registered, BearerToken)> {
        let webhook = self.checked_webhook(access, new.profile.to_owned(), webhook).await?;
        let begin = move |tx: &Tx<'_>, _: &Visible| {
            let account = new.create(tx)?;
            Ok((webhook.create_in(tx, &account)?, token.create_in(tx, &account)?.token))
        };
        self.write(access, begin).await
    }

    /// Checks a webhook for a new account of this profile, and makes nothing.
    ///
    /// # Errors
    /// As [`App::register`].
    pub async fn check_first_webhook(
        &self,
        access: &Access<Operator>,
        profile: &str,
        webhook: NewWebhook,
    ) -> Result<()> {
        self.checked_webhook(access, profile.to_owned(), webhook).await.map(drop)
    }

    /// A command line that publishes a first event for this webhook. `$TOKEN` in it is a token of the account.
    ///
    /// # Errors
    /// Faults of the program only.
    pub fn first_event(&self, registered: &Registered) -> Result<String> {
        let (dialect, endpoint) = (self.dialect(&registered.profile)?, &registered.endpoint);
        let kinds = || dialect.kinds.iter().copied();
        let kind = endpoint.events.first_of(kinds()).or(kinds().next()).unwrap_or_default();
        (dialect.publish)(&self.public_url(), kind, &endpoint.account_id, self.now())
    }

    /// Changes the address to which an account's alerts are mailed; `None`: to nobody.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an address that no mail can be sent to.
    pub async fn set_alert_email(&self, access: &Access<Operator>, id: &str, mail: Option<String>) -> Result<()> {
        mail.as_deref().map(account::check_email).transpose()?;
        let id = id.to_owned();
        self.write(access, move |tx, _| accounts::set_alert_email(tx, &id, mail.as_deref())).await
    }

    /// Changes where notices about an account's webhooks are POSTed. Returns the new secret that signs them: it can be seen
    /// only now. `None`: nowhere.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for a URL that nothing may be sent to.
    pub async fn set_alerts_url(
        &self,
        access: &Access<Operator>,
        id: &str,
        url: Option<String>,
    ) -> Result<Option<SigningSecret>> {
        let url = url.map(|url| TargetUrl::parse(&url, self.limits().url_bytes)).transpose()?;
        if let Some(url) = &url {
            self.vet(access, url).await?;
        }
        let (id, secret) = (id.to_owned(), url.as_ref().map(|_| new_secret()).transpose()?);
        let shown = secret.clone();
        let set = move |tx: &Tx<'_>, _: &Visible| notices::set_target(tx, &id, url.as_ref().zip(secret.as_ref()));
        self.write(access, set).await?;
        Ok(shown)
    }

    /// Changes where an account's alerts and notices go: a member that is left out stays, and an empty text removes. Returns the
    /// account, and the new secret that signs its notices if a place was given: it can be seen only now.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an address that no mail can be sent to, or a URL that nothing may be
    /// sent to.
    pub async fn change_account(
        &self,
        access: &Access<Operator>,
        id: &str,
        mail: Option<String>,
        url: Option<String>,
    ) -> Result<(Account, Option<SigningSecret>)> {
        let mail = mail.map(|mail| Some(mail).filter(|mail| !mail.is_empty()));
        mail.iter().flatten().try_for_each(|mail| account::check_email(mail))?;
        let url = url.map(|url| Some(url).filter(|url| !url.is_empty()));
        let place = |url: String| TargetUrl::parse(&url, self.limits().url_bytes);
        let place = url.map(|url| url.map(place).transpose()).transpose()?;
        let secret = match place.as_ref().and_then(Option::as_ref) {
            Some(url) => {
                self.vet(access, url).await?;
                Some(new_secret()?)
            }
            None => None,
        };
        let (id, shown) = (id.to_owned(), secret.clone());
        let change = move |tx: &Tx<'_>, visible: &Visible| {
            mail.map(|mail| accounts::set_alert_email(tx, &id, mail.as_deref())).transpose()?;
            place.map(|url| notices::set_target(tx, &id, url.as_ref().zip(secret.as_ref()))).transpose()?;
            accounts::see(tx, visible, &id)
        };
        Ok((self.write(access, change).await?, shown))
    }

    /// The size of an account. Reads every event.
    pub async fn extent(&self, access: &Access<Operator>, id: &str) -> Result<Extent> {
        let id = id.to_owned();
        self.read(access, move |view, _| erase::extent(view, &id)).await
    }

    /// Erases an account: it is gone for everybody at once. Its rows are removed after the answer, step by step; what
    /// a stop cuts off goes on at the next pass of retention.
    pub async fn erase_account(&self, access: &Access<Operator>, id: &str) -> Result<()> {
        let (name, former) = (id.to_owned(), id.to_owned());
        self.write(access, move |tx, _| erase::begin(tx, &name)).await?;
        let db = self.0.db.clone();
        tokio::spawn(async move {
            let erased = async {
                retention::erase_all(&db, Some(&former), |_| {}).await?;
                retention::empty_log(&db, EMPTYING).await
            };
            if let Err(error) = erased.await {
                tracing::warn!(%error, "an account could not be erased to its last row: the next pass of retention goes on");
            }
        });
        Ok(())
    }

    /// One account.
    pub async fn account(&self, access: &Access<impl Manages>, id: &str) -> Result<Account> {
        let id = id.to_owned();
        self.read(access, move |view, visible| accounts::see(view, visible, &id)).await
    }
}
