//! The ages of the attempts in flight: which need a processor, and which have just become slow.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::Stopwatch, domain::delivery::DeliveryKey};

/// An attempt that has taken longer than this waits for its receiver; until then it needs a processor.
pub const AT_WORK: Duration = Duration::from_millis(2);

/// A delivery and the number of its attempt.
type Owner = (DeliveryKey, u32);

/// The attempts in flight in the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Those that began within [`AT_WORK`].
    at_work: VecDeque<(Stopwatch, Owner)>,
    /// Those that waited for their receiver when they were last looked at. Some may have ended.
    waiting: VecDeque<(Stopwatch, Owner)>,
}

impl Ages {
    pub(super) fn begun(&mut self, owner: Owner) {
        self.at_work.push_back((Stopwatch::start(), owner));
    }

    pub(super) fn ended(&mut self, owner: Owner) {
        if let Some(at) = self.at_work.iter().position(|(_, other)| *other == owner) {
            self.at_work.remove(at);
        }
    }

    /// How many need a processor.
    pub(super) fn at_work(&self) -> usize {
        self.at_work.len() - self.at_work.iter().take_while(|(since, _)| since.elapsed() >= AT_WORK).count()
    }

    /// Those that have become older than this since the last look, each once.
    pub(super) fn older(&mut self, than: Duration) -> Vec<Owner> {
        let waits = self.at_work.iter().take_while(|(since, _)| since.elapsed() >= AT_WORK).count();
        self.waiting.extend(self.at_work.drain(..waits));
        let slow = self.waiting.iter().take_while(|(since, _)| since.elapsed() > than).count();
        self.waiting.drain(..slow).map(|(_, owner)| owner).collect()
    }
}
