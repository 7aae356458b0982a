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

/// The status of the answer, and the text of its `Retry-After`.
pub(super) type Noted = (u16, Option<String>);

thread_local! {
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Kept) };
    static STATUS: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

/// A POST begins.
pub(super) fn begin() {
    set(Phase::Kept);
    STATUS.set(None);
}

pub(super) fn set(phase: Phase) {
    PHASE.set(phase);
}

pub(super) fn phase() -> Phase {
    PHASE.get()
}

/// Notes what can be read of the answer so far. It counts even if nothing more comes.
pub(super) fn note(status: u16, retry_after: Option<&str>) {
    STATUS.set(Some((status, retry_after.map(str::to_owned))));
}

/// What could be read of the answer.
pub(super) fn noted() -> Option<Noted> {
    STATUS.take()
}
