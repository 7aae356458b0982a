//! The sending threads: as many as work asks for, the most recently idle one woken first, so that caches stay warm.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

/// Stack of a sending thread: TLS needs the most.
const STACK: usize = 512 << 10;

type Work = Box<dyn FnOnce() + Send>;
type Idle = Arc<Mutex<Vec<mpsc::Sender<Work>>>>;

/// A pool whose size follows the work that is under way at once, which its owner bounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    idle: Idle,
}

impl Pool {
    /// Runs the work on an idle thread, or on a new one.
    ///
    /// # Errors
    /// When the system starts no more threads; the work is then dropped.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let woken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let thread = match woken {
            Some(thread) => thread,
            None => start(Arc::clone(&self.idle))?,
        };
        // A thread ends only when its own sender is gone, which is in our hand.
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
