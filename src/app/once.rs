//! Requests that may be repeated. With an idempotency key a request has its effect once, and each repeat gets the answer
//! of the first. The effect and its answer are one transaction, so that no crash comes between them.

use zeroize::Zeroizing;

use super::{Access, App, Right};
use crate::{
    domain::{account::AccountKey, event::IdempotencyKey, timestamp::Timestamp, token::Visible},
    error::{Conflict, Error, Invalid, Result},
    store::{
        Tx, View,
        answers::{self, Earlier},
    },
};

/// An answer as it is printed. It may hold a secret.
pub type Answer = Zeroizing<String>;

/// Prints the answer of a request.
pub(super) type Printer<T> = Box<dyn FnOnce(&T) -> Result<Answer> + Send + Sync>;

/// A request that may be repeated: its key, if it has one, and how its answer is printed.
pub struct Once<T> {
    pub(super) key: Option<IdempotencyKey>,
    pub(super) print: Printer<T>,
}

impl<T> Once<T> {
    /// A request with this key.
    pub fn new(key: Option<IdempotencyKey>, print: impl FnOnce(&T) -> Result<Answer> + Send + Sync + 'static) -> Self {
        Self { key, print: Box::new(print) }
    }

    /// Does the work of the request, or finds the answer of the earlier one. `owner` is the account whose key it is.
    ///
    /// # Errors
    /// As [`earlier`], and those of the work.
    pub(super) fn run(
        self,
        tx: &Tx<'_>,
        owner: impl FnOnce(&Tx<'_>) -> Result<AccountKey>,
        work: impl FnOnce(&Tx<'_>) -> Result<T>,
    ) -> Result<Answer> {
        let Some(key) = &self.key else { return (self.print)(&work(tx)?) };
        let account = owner(tx)?;
        if let Some(answer) = earlier(tx, account, key, tx.now)? {
            return Ok(answer);
        }
        let answer = (self.print)(&work(tx)?)?;
        answers::keep(tx, account, key, &answer)?;
        Ok(answer)
    }
}

impl App {
    /// The answer to an earlier request with the same key: looked up before work that a repeat need not do.
    ///
    /// # Errors
    /// As [`earlier`], and those of `owner`.
    pub(super) async fn answered<S: Right, T>(
        &self,
        access: &Access<S>,
        once: &Once<T>,
        owner: impl FnOnce(&View<'_>, &Visible) -> Result<AccountKey> + Send + 'static,
    ) -> Result<Option<Answer>> {
        let (Some(key), now) = (once.key.clone(), self.now()) else { return Ok(None) };
        self.read(access, move |view, visible| earlier(view, owner(view, visible)?, &key, now)).await
    }
}

/// The answer to the earlier request with this key.
///
/// # Errors
/// [`Error::Conflict`] while it has not ended; [`Error::Invalid`] if it was another request.
pub(super) fn earlier(
    view: &View<'_>,
    account: AccountKey,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Option<Answer>> {
    match answers::find(view, account, key, now)? {
        Earlier::None => Ok(None),
        Earlier::Answered(answer) => Ok(Some(answer)),
        Earlier::UnderWay => Err(Error::conflict(
            Conflict::UnderWay,
            "the request that came with this Idempotency-Key has not ended: send it again in some seconds",
        )),
        Earlier::Another => Err(Error::invalid(
            Invalid::KeyReused,
            "this Idempotency-Key came before with another request, to another path or with another body: use a new key",
        )),
    }
}
