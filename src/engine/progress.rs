//! The progress of the POST on this thread: what the connectors and the connection of ureq tell the sender.

use std::cell::{Cell, RefCell};

/// How far the POST has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A kept connection is used; nothing has come back.
    Kept,
    /// A connection is being made.
    Dialling,
    /// Connected; TLS, if any, is being negotiated.
    Connected,
    /// The request is being sent, or was sent.
    Ready,
    /// Some of the answer came back.
    Answered,
}

/// What could be read of the answer's head.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) status: u16,
    /// The text of `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// The first headers of an answer that is no success.
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// First bytes of an answer that are kept: they show the protocol if it is not HTTP.
const FIRST_BYTES: usize = 32;

thread_local! {
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Kept) };
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
    static FIRST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A POST begins.
pub(super) fn begin() {
    set(Phase::Kept);
    NOTED.set(None);
}

pub(super) fn set(phase: Phase) {
    PHASE.set(phase);
}

pub(super) fn phase() -> Phase {
    PHASE.get()
}

/// Bytes of an answer came.
pub(super) fn answered(bytes: &[u8]) {
    if PHASE.replace(Phase::Answered) != Phase::Answered {
        FIRST.with_borrow_mut(|first| {
            first.clear();
            first.extend_from_slice(&bytes[..bytes.len().min(FIRST_BYTES)]);
        });
    }
}

/// The first bytes of the answer.
pub(super) fn first() -> Vec<u8> {
    FIRST.take()
}

/// Notes what can be read of the answer so far. It counts even if nothing more comes.
pub(super) fn note(noted: Noted) {
    NOTED.set(Some(noted));
}

/// What could be read of the answer.
pub(super) fn noted() -> Option<Noted> {
    NOTED.take()
}
