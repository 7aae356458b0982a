//! The ages of the attempts in flight: which need a processor, and which have just become slow.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::Stopwatch, domain::delivery::DeliveryKey};

/// An attempt that has taken longer than this waits for its receiver; until then it needs a processor.
pub const AT_WORK: Duration = Duration::from_millis(2);

/// An attempt: its delivery, and how many attempts had begun before it. A claim that was given back may come again with
/// the same attempt number.
type Beginning = (DeliveryKey, u64);

/// The attempts in flight in the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Those that began within [`AT_WORK`].
    at_work: VecDeque<(Stopwatch, Beginning)>,
    /// Those that waited for their receiver when they were last looked at. Some may have ended.
    waiting: VecDeque<(Stopwatch, Beginning)>,
}

impl Ages {
    pub(super) fn begun(&mut self, one: Beginning) {
        self.at_work.push_back((Stopwatch::start(), one));
    }

    pub(super) fn ended(&mut self, one: Beginning) {
        if let Some(at) = self.at_work.iter().position(|(_, other)| *other == one) {
            self.at_work.remove(at);
        }
    }

    /// How many need a processor.
    pub(super) fn at_work(&self) -> usize {
        self.at_work.len() - self.at_work.iter().take_while(|(since, _)| since.elapsed() >= AT_WORK).count()
    }

    /// Those that have become older than this since the last look, each once.
    pub(super) fn older(&mut self, than: Duration) -> Vec<Beginning> {
        let waits = self.at_work.iter().take_while(|(since, _)| since.elapsed() >= AT_WORK).count();
        self.waiting.extend(self.at_work.drain(..waits));
        let slow = self.waiting.iter().take_while(|(since, _)| since.elapsed() > than).count();
        self.waiting.drain(..slow).map(|(_, one)| one).collect()
    }
}
