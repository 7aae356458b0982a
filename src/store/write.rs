//! A queued write: a closure that runs in a transaction, and the way back for its result.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::{Result, Tx, grants};
use crate::{domain::audit::Actor, error::Error};

/// Sends the result of a write to its caller, or the error of the commit that failed.
pub(super) type Answer = Box<dyn FnOnce(Option<Error>) + Send>;

pub(super) enum Write {
    /// A short write: it shares a commit with others.
    One(Run),
    /// A long write: it gets a commit of its own.
    Batch(Run),
}

/// Runs the closure in the transaction. Returns the error for which its changes are undone, if any, and how to send the
/// result.
pub(super) type Run = Box<dyn FnOnce(&Tx<'_>) -> (Option<Error>, Answer) + Send>;

/// Wraps a closure so that its result reaches `reply` after the commit. First it checks that the actor may still act.
pub(super) fn wrap<T: Send + 'static>(
    actor: Actor,
    run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    reply: oneshot::Sender<Result<T>>,
) -> Run {
    Box::new(move |tx| {
        tx.actor.set(actor);
        let admitted = || grants::check(tx.conn, actor, tx.now).and_then(|()| run(tx));
        let result = catch_unwind(AssertUnwindSafe(admitted))
            .unwrap_or_else(|_| Err(Error::Internal("a write panicked; it was undone".to_owned())));
        let refused = result.as_ref().err().cloned();
        let answer: Answer = Box::new(move |failed| {
            // A write that failed by itself returns its own error. A caller that is gone needs no result.
            let _ = reply.send(match failed {
                Some(failed) => result.and(Err(failed)),
                None => result,
            });
        });
        (refused, answer)
    })
}
