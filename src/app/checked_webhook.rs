//! A webhook that may be registered.

use zeroize::Zeroizing;

use crate::{
    domain::{
        about::About,
        account::Account,
        endpoint::{Endpoint, EventFilter, TargetUrl},
        signature::SigningSecret,
    },
    error::{Error, Result},
    store::{Tx, accounts, endpoints, random},
};

/// A webhook that has a new secret.
pub struct Registered {
    /// The webhook.
    pub endpoint: Endpoint,
    /// The profile of its vendor.
    pub profile: String,
    /// The secret, if it was made here. It is shown only now.
    pub made_secret: Option<SigningSecret>,
}

/// A webhook to register whose URL, events and secret can be taken.
pub(super) struct CheckedWebhook {
    pub(super) account: String,
    pub(super) profile: String,
    pub(super) url: TargetUrl,
    pub(super) events: EventFilter,
    pub(super) about: About,
    pub(super) secret: SigningSecret,
    /// Whether the secret was made here.
    pub(super) is_made: bool,
    /// Most webhooks of the account.
    pub(super) most: u64,
}

impl CheckedWebhook {
    pub(super) fn create(self, tx: &Tx<'_>) -> Result<Registered> {
        let account = accounts::find(tx, &self.profile, &self.account)?;
        self.create_in(tx, &account)
    }

    /// Registers the webhook in this account.
    pub(super) fn create_in(self, tx: &Tx<'_>, account: &Account) -> Result<Registered> {
        let Self { profile, url, events, about, secret, is_made, most, .. } = self;
        let mut endpoint = endpoints::create(tx, account, url, events, &secret, most)?;
        endpoints::describe(tx, endpoint.key, &about)?;
        endpoint.about = about;
        Ok(Registered { endpoint, profile, made_secret: is_made.then_some(secret) })
    }
}

/// A subscriber's own secret. If it is refused, `otherwise` is the end of the sentence: what else to do.
pub(super) fn own_secret(text: Zeroizing<String>, otherwise: &str) -> Result<SigningSecret> {
    SigningSecret::parse(text).map_err(|error| Error::request(format!("{error}. {otherwise}")))
}

pub(super) fn new_secret() -> Result<SigningSecret> {
    Ok(SigningSecret::from_random(&*random()?))
}
