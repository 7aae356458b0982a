//! Work on large texts, on threads of its own: it keeps no request waiting. Text that is parsed, checked or printed may
//! take many times its size in memory, so only a little of this work is done at once.

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::error::{Error, Result};

/// Text up to this size, in bytes, is worked on in place.
const SMALL: usize = 64 << 10;
/// Work in progress at once.
static IN_PROGRESS: Semaphore = Semaphore::const_new(4);

/// Does the work on a text of this many bytes.
///
/// # Errors
/// [`Error::Internal`] if the work panicked.
pub(crate) async fn run<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= SMALL {
        return Ok(work());
    }
    let _permit = IN_PROGRESS.acquire().await;
    spawn_blocking(work).await.map_err(|_| Error::Internal("work on a large text panicked".to_owned()))
}
