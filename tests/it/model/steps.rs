//! The steps of a history, and how they are drawn.

use proptest::prelude::*;

pub const HOUR: i64 = 3_600_000;
/// A clock that is off by less than this has drifted; from there on it was set.
pub const STEP: i64 = 1_000;

/// The reaction of a receiver to an attempt.
#[derive(Debug, Clone, Copy)]
pub enum Reaction {
    Takes,
    Fails,
    /// Does not take this event.
    Refuses,
    /// Fails, and asks for a wait of this many seconds.
    Asks(u64),
    /// Has had too many, and asks for a wait of this many seconds.
    Limits(u64),
    Gone,
    TimesOut,
    /// The result is unknown: the fault was ours.
    Breaks,
}

impl Reaction {
    /// The seconds for which it asks.
    pub fn asked(self) -> u64 {
        if let Self::Asks(seconds) | Self::Limits(seconds) = self { seconds } else { 0 }
    }
}

/// Another write beside a turn of the engine, before the engine hears of either.
#[derive(Debug, Clone, Copy)]
pub enum Beside {
    Nothing,
    /// A publish of this vendor in the same commit, ahead of the turn.
    PublishBefore(usize),
    /// A publish of this vendor in the same commit, behind the turn.
    PublishAfter(usize),
    /// A publish that fills the disk: nothing of the commit is stored, and the turn is tried again.
    DiskFull,
    /// The clock is set by this many milliseconds after the turn's commit, and the next commit notices it.
    ClockSet(i64),
}

/// One step of a history. Numbers name things modulo how many there are.
#[derive(Debug, Clone)]
pub enum Step {
    Register(usize),
    Publish {
        vendor: usize,
        large: bool,
    },
    /// A publish that ends in a fault and so never was.
    PublishUndone(usize),
    /// One round of the engine's loop.
    Turn(Beside),
    /// A round after a rest, which also gives old prefetched claims back.
    Poll,
    /// An attempt ends after this many milliseconds.
    End {
        which: usize,
        reaction: Reaction,
        took: u64,
    },
    EndLate(usize, Reaction),
    LoseAll,
    Crash,
    Stop,
    Suspend(usize),
    /// The endpoint, and whether failed deliveries are sent again.
    Resume(usize, bool),
    Delete(usize),
    /// Another URL.
    Move(usize),
    Replay(usize),
    Advance(i64),
    AdvanceToDue,
    AdvanceToJustBefore,
    /// The wall clock is set by this many milliseconds, and the next write notices it.
    SetClock(i64),
}

fn reaction() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        16 => Just(Reaction::Takes),
        6 => Just(Reaction::Fails),
        2 => Just(Reaction::Refuses),
        1 => prop_oneof![Just(0), Just(2), Just(600), Just(9_999)].prop_map(Reaction::Asks),
        1 => prop_oneof![Just(0), Just(1), Just(30)].prop_map(Reaction::Limits),
        1 => Just(Reaction::Gone),
        3 => Just(Reaction::TimesOut),
        1 => Just(Reaction::Breaks),
    ]
}

fn clock_set() -> impl Strategy<Value = i64> {
    prop_oneof![Just(STEP), Just(-STEP), STEP..3 * HOUR, -3 * HOUR..-STEP]
}

fn beside() -> impl Strategy<Value = Beside> {
    prop_oneof![
        10 => Just(Beside::Nothing),
        2 => (0..2_usize).prop_map(Beside::PublishBefore),
        4 => (0..2_usize).prop_map(Beside::PublishAfter),
        1 => Just(Beside::DiskFull),
        1 => clock_set().prop_map(Beside::ClockSet),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let any = 0..10_000_usize;
    let took = prop_oneof![6 => Just(1), 2 => Just(12), 1 => Just(60), 1 => Just(60_001)];
    prop_oneof![
        2 => (0..2_usize).prop_map(Step::Register),
        12 => (0..2_usize, prop::bool::weighted(0.1)).prop_map(|(vendor, large)| Step::Publish { vendor, large }),
        1 => (0..2_usize).prop_map(Step::PublishUndone),
        20 => beside().prop_map(Step::Turn),
        3 => Just(Step::Poll),
        30 => (any.clone(), reaction(), took).prop_map(|(which, reaction, took)| Step::End { which, reaction, took }),
        3 => (any.clone(), reaction()).prop_map(|(which, reaction)| Step::EndLate(which, reaction)),
        1 => Just(Step::LoseAll),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
        2 => any.clone().prop_map(Step::Suspend),
        5 => (any.clone(), prop::bool::weighted(0.7)).prop_map(|(which, resend)| Step::Resume(which, resend)),
        1 => any.clone().prop_map(Step::Delete),
        2 => any.clone().prop_map(Step::Move),
        3 => any.prop_map(Step::Replay),
        3 => prop_oneof![Just(1), Just(999), 0..HOUR].prop_map(Step::Advance),
        10 => Just(Step::AdvanceToDue),
        3 => Just(Step::AdvanceToJustBefore),
        2 => clock_set().prop_map(Step::SetClock),
    ]
}
