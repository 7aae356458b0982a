//! The store's one writer, kept busy by a story.

use std::{
    future::Future,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    thread,
};

use ngoma::{
    domain::audit::Actor,
    store::{Admission, Db, Tx},
};

use crate::support::receiver::PATIENCE;

/// Runs a future once, without waiting.
pub fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Keeps the writer busy until the story sends to the returned gate, or drops it.
pub fn hold_writer(db: &Db) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let (open, gate) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let db = db.clone();
    let held = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let wait = move |_: &Tx<'_>| {
            begun.send(()).expect("the story waits");
            // The gate was opened, or the story has ended.
            let _ = gate.recv_timeout(PATIENCE);
            Ok(())
        };
        runtime.block_on(db.write(Actor::Engine, Admission::Try, wait)).expect("it is committed");
    });
    begins.recv_timeout(PATIENCE).expect("the writer begins");
    (open, held)
}
