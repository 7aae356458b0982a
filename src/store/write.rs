//! A write on its way to the writer: a closure that runs in a transaction, and the answer to whoever asked for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::{Result, Tx, grants};
use crate::{domain::audit::Actor, error::Error};

/// Reports a write's own result, unless the commit failed.
pub(super) type Answer = Box<dyn FnOnce(Option<Error>) + Send>;

/// A write on its way to the writer.
pub(super) enum Write {
    /// One that shares a commit.
    One(Run),
    /// One that takes long, and has its own.
    Batch(Run),
}

/// Runs in the transaction; says why what it did is not kept, if so, and how to answer.
pub(super) type Run = Box<dyn FnOnce(&Tx<'_>) -> (Option<Error>, Answer) + Send>;

/// Wraps a closure of this actor so that its result reaches `reply` after the commit. The actor is checked first.
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
            // A write that failed by itself says why. A caller that has gone away needs no answer.
            let _ = reply.send(match failed {
                Some(failed) => result.and(Err(failed)),
                None => result,
            });
        });
        (refused, answer)
    })
}
