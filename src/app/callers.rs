//! The callers of requests: the holders of tokens and sessions.

use super::{Access, App, Right};
use crate::{
    domain::{
        session::{LASTS, SessionKey},
        token::{BearerToken, Caller},
    },
    error::Result,
    store::{
        Admission, random, sessions,
        tokens::{self, LAST_USED_GRAIN},
    },
};

impl App {
    /// The holder of a request's token; `None` if the token is unknown or revoked. Every request looks it up, so that a
    /// token that another process revokes is refused at once.
    ///
    /// # Errors
    /// [`Unauthorized`](crate::error::Error::Unauthorized) if it has expired.
    pub fn caller_of_token(&self, token: &str) -> Result<Option<Caller>> {
        let Some(token) = BearerToken::parse(token) else { return Ok(None) };
        let now = self.now();
        self.0.db.read_inline(|view| tokens::caller(view, &token, now))
    }

    /// The holder of a request's session; `None` if the session is unknown or has ended. Every request looks it up.
    pub fn caller_of_session(&self, key: &SessionKey) -> Result<Option<Caller>> {
        let (hash, now) = (key.hash(), self.now());
        self.0.db.read_inline(|view| sessions::caller(view, hash, now))
    }

    /// Notes the use of a token, if the last note is old. The caller does not wait for the write, and a full queue may
    /// drop it.
    pub fn note_use(&self, caller: &Caller) {
        let now = self.now();
        if caller.last_used_at.is_none_or(|used| now.since(used) >= LAST_USED_GRAIN) {
            let (token, grant, db) = (caller.token, caller.grant(), self.0.db.clone());
            tokio::spawn(async move { db.write(grant, Admission::Try, move |tx| tokens::used(tx, token)).await });
        }
    }

    /// Begins a session of this caller. The session that its browser had before ends.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) if the token was revoked meanwhile.
    pub async fn begin_session(&self, caller: &Caller, former: Option<&SessionKey>) -> Result<SessionKey> {
        let key = SessionKey::from_random(&*random()?);
        let (token, hash, former) = (caller.token, key.hash(), former.map(SessionKey::hash));
        let begin = self.0.db.write(caller.grant(), Admission::Try, move |tx| {
            former.map(|former| sessions::end(tx, former)).transpose()?;
            tokens::used(tx, token)?;
            sessions::begin(tx, token, hash, LASTS)
        });
        begin.await?;
        Ok(key)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`Unauthorized`](crate::error::Error::Unauthorized) if it has ended already.
    pub async fn end_session(&self, caller: &Caller, key: &SessionKey) -> Result<()> {
        let hash = key.hash();
        self.0.db.write(caller.grant(), Admission::Try, move |tx| sessions::end(tx, hash)).await
    }

    /// Checks that a caller's token or session still stands, after a wait.
    ///
    /// # Errors
    /// [`Unauthorized`](crate::error::Error::Unauthorized) if it does not.
    pub fn check_caller(&self, caller: &Caller) -> Result<()> {
        self.0.db.check(caller.grant())
    }

    /// Checks that the right of a request still holds, after a wait.
    ///
    /// # Errors
    /// [`Unauthorized`](crate::error::Error::Unauthorized) if its token or session is gone,
    /// [`Forbidden`](crate::error::Error::Forbidden) if only the scope is.
    pub fn check_access<S: Right>(&self, access: &Access<S>) -> Result<()> {
        self.0.db.check(access.actor())
    }
}
