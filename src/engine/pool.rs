//! The sending threads: as many as the work needs. The most recently idle one is used first, so that caches stay warm.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

/// The stack of a sending thread: TLS needs the most.
const STACK: usize = 512 << 10;

type Work = Box<dyn FnOnce() + Send>;
type Idle = Arc<Mutex<Vec<mpsc::Sender<Work>>>>;

/// A pool whose size follows the work that runs at once, which its owner limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    idle: Idle,
}

impl Pool {
    /// Runs the work on an idle thread, or on a new one.
    ///
    /// # Errors
    /// When the system cannot start another thread; the work is then dropped.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let woken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let thread = match woken {
            Some(thread) => thread,
            None => start(Arc::clone(&self.idle))?,
        };
        // A thread ends only when its sender is dropped, and it is not.
        let _ = thread.send(Box::new(work));
        Ok(())
    }
}

fn start(idle: Idle) -> std::io::Result<mpsc::Sender<Work>> {
    let (sender, work) = mpsc::channel::<Work>();
    let own = sender.clone();
    let run = move || {
        while let Ok(work) = work.recv() {
            work();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        }
    };
    thread::Builder::new().name("sender".to_owned()).stack_size(STACK).spawn(run)?;
    Ok(sender)
}
