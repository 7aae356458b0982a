//! The ages of the attempts in flight: which need a processor, and which have just become slow.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::Stopwatch, domain::delivery::DeliveryKey};

/// An attempt that has taken longer than this waits for its receiver; until then it needs a processor.
pub const AT_WORK: Duration = Duration::from_millis(2);
/// The same where the receiver is known not to answer at once: only its request has to be sent.
pub const SENDS: Duration = Duration::from_micros(500);

/// An attempt: its delivery, and how many attempts had begun before it. A claim that was given back may come again with
/// the same attempt number.
type Beginning = (DeliveryKey, u64);

/// Attempts in the order of their beginnings.
type InOrder = VecDeque<(Stopwatch, Beginning)>;

/// The attempts in flight.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Those that began within [`AT_WORK`], to receivers that may answer at once.
    at_work: InOrder,
    /// Those that began within [`SENDS`], to others.
    sending: InOrder,
    /// Those that waited for their receiver when they were last looked at. Some may have ended.
    waiting: InOrder,
}

impl Ages {
    pub(super) fn begun(&mut self, one: Beginning, may_answer_at_once: bool) {
        let young = if may_answer_at_once { &mut self.at_work } else { &mut self.sending };
        young.push_back((Stopwatch::start(), one));
    }

    pub(super) fn ended(&mut self, one: Beginning) {
        for young in [&mut self.at_work, &mut self.sending] {
            if let Some(at) = young.iter().position(|(_, other)| *other == one) {
                young.remove(at);
            }
        }
    }

    /// How many to such receivers need a processor.
    pub(super) fn at_work(&self, may_answer_at_once: bool) -> usize {
        let (young, until) = if may_answer_at_once { (&self.at_work, AT_WORK) } else { (&self.sending, SENDS) };
        young.len() - older(young, until)
    }

    /// Those that have become older than this since the last look, each once.
    pub(super) fn grown_older(&mut self, than: Duration) -> Vec<Beginning> {
        for (young, until) in [(&mut self.at_work, AT_WORK), (&mut self.sending, SENDS)] {
            let wait = older(young, until);
            self.waiting.extend(young.drain(..wait));
        }
        let slow = older(&self.waiting, than);
        self.waiting.drain(..slow).map(|(_, one)| one).collect()
    }
}

/// How many of these began longer ago.
fn older(all: &InOrder, than: Duration) -> usize {
    all.iter().take_while(|(since, _)| since.elapsed() > than).count()
}
