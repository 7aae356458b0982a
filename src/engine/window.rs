//! The window of a webhook: how many attempts to it may be in flight. It follows the receiver, as TCP's window follows
//! the network: it grows while answers come in time and the window is used, and is halved by failures.

/// See the head of this file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    size: f64,
    /// Below this size every success adds one attempt; from it on, a whole window of successes does.
    threshold: f64,
    /// Failures of attempts that began earlier do not halve it again: their receiver has not seen the smaller window.
    halved_at: u64,
}

impl Window {
    /// One attempt, when `begun` attempts had begun.
    pub(super) fn new(begun: u64) -> Self {
        Self { size: 1.0, threshold: f64::INFINITY, halved_at: begun }
    }

    /// Most attempts in flight.
    pub(super) fn size(&self) -> usize {
        // The size is between 1 and a limit of the settings.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let size = self.size as usize;
        size
    }

    /// An attempt succeeded, after `used` were in flight at once. A window that is less than half used says nothing about
    /// a larger one.
    pub(super) fn grow(&mut self, used: usize, most: usize) {
        if used * 2 < self.size() {
            return;
        }
        self.size += if self.size < self.threshold { 1.0 } else { self.size.recip() };
        if self.size() > most {
            self.size = u32::try_from(most).map_or(f64::MAX, f64::from);
        }
    }

    /// The receiver did not want this event. That says little about others.
    pub(super) fn step_back(&mut self) {
        self.size = (self.size - 1.0).max(1.0);
    }

    /// The attempt with this number failed, when `begun` attempts had begun.
    pub(super) fn halve(&mut self, number: u64, begun: u64) {
        if number >= self.halved_at {
            self.size = (self.size / 2.0).max(1.0);
            (self.threshold, self.halved_at) = (self.size, begun);
        }
    }

    /// Begins again with one attempt, and is careful from half of the former size on. Of several attempts that began
    /// earlier, one counts, as in [`Window::halve`].
    pub(super) fn restart(&mut self, number: u64, begun: u64) {
        self.halve(number, begun);
        self.size = 1.0;
    }
}
