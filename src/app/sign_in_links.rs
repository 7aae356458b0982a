//! Links that open the dashboard of one account, once; and the open sessions of an account.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Access, App, Operator};
use crate::{
    domain::{
        session::{LASTS, SessionKey},
        timestamp::Timestamp,
        token::Caller,
    },
    error::{Error, Missing, Result},
    store::{
        Admission, random,
        sessions::{self, SessionMark},
        sign_in_links,
    },
};

pub use crate::store::sessions::OpenSession;

/// How long a link lasts, if nobody says.
pub const USUAL: Duration = Duration::from_secs(15 * 60);
/// The shortest and the longest time of a link.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A new link. It can be seen only now.
pub struct SignInLink {
    /// The key in its address.
    pub key: SessionKey,
    /// When its time is over.
    pub ends_at: Timestamp,
}

impl App {
    /// Makes a link that opens the dashboard of this account once, within this time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for less than a minute or more than a day; [`Error::NotFound`] for an unknown account.
    pub async fn make_sign_in_link(
        &self,
        access: &Access<Operator>,
        account: &str,
        lasts: Duration,
    ) -> Result<SignInLink> {
        if !(SHORTEST..=LONGEST).contains(&lasts) {
            let (least, most) = (SHORTEST.as_secs(), LONGEST.as_secs());
            return Err(Error::request(format!("a link lasts {least} to {most} seconds, not {}", lasts.as_secs())));
        }
        let (key, account) = (SessionKey::from_random(&*random()?), account.to_owned());
        let hash = key.hash();
        let ends_at = self.write(access, move |tx, _| sign_in_links::create(tx, &account, hash, lasts)).await?;
        Ok(SignInLink { key, ends_at })
    }

    /// The address of a link.
    pub fn sign_in_address(&self, key: &SessionKey) -> Zeroizing<String> {
        format!("{}/ui/enter/{}", self.public_url(), *key.expose()).into()
    }

    /// The caller that a link's session will have; `None` if the link is unknown, was opened, or its time is over.
    pub fn caller_of_link(&self, key: &SessionKey) -> Result<Option<Caller>> {
        let (hash, now) = (key.hash(), self.now());
        self.0.db.read_inline(|view| sign_in_links::caller(view, hash, now))
    }

    /// Opens a link: begins a session. The link is spent, and the session that the browser had before ends.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if the link is unknown, was opened, or its time is over.
    pub async fn open_sign_in_link(&self, link: &SessionKey, former: Option<&SessionKey>) -> Result<SessionKey> {
        let spent = || Error::Unauthorized("this link was opened already, or its time is over".to_owned());
        let caller = self.caller_of_link(link)?.ok_or_else(spent)?;
        let key = SessionKey::from_random(&*random()?);
        let (token, link, hash) = (caller.token, link.hash(), key.hash());
        let former = former.map(SessionKey::hash);
        let open = self.0.db.write(caller.grant(), Admission::Try, move |tx| {
            former.map(|former| sessions::end(tx, former)).transpose()?;
            sign_in_links::open(tx, link, token, hash, LASTS)
        });
        open.await.map_err(|error| if error == Error::NotFound(Missing::Token) { spent() } else { error })?;
        Ok(key)
    }

    /// The open sessions of an account, the newest first.
    pub async fn sessions(&self, access: &Access<Operator>, account: &str) -> Result<Vec<OpenSession>> {
        let (account, now) = (account.to_owned(), self.now());
        self.read(access, move |view, visible| sessions::of_account(view, visible, &account, now)).await
    }

    /// Ends the session of an account that has this mark.
    pub async fn end_session_of(&self, access: &Access<Operator>, account: &str, mark: SessionMark) -> Result<()> {
        let account = account.to_owned();
        self.write(access, move |tx, _| sessions::end_of_account(tx, &account, mark)).await
    }
}
