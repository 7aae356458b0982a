//! The order of ordered webhooks under everything that may happen to a server, its receivers and its people.

use ngoma::domain::{
    endpoint::Resend,
    endpoint_settings::{RateLimit, Sending},
};

use crate::model::{
    queue_of_many::QueueOfMany,
    steps::{HOUR, Reaction},
};

const ENDPOINTS: usize = 64;
/// Deliveries that wait at most: as many as all webhooks take in some rounds.
const BACKLOG: i64 = 20 * ENDPOINTS as i64;
/// What happened to how many of a hundred thousand, at least.
const DISTURBED: &[(&str, i64)] = &[
    ("attempts > 1", 5_000),
    ("state = 'exhausted'", 300),
    ("state = 'cancelled'", 30),
    ("replay_of IS NOT NULL AND place IS NULL", 100),
    ("place IS NOT NULL", 100),
];
const ORDERED: Sending = Sending { rate_limit: None, ordered: true };

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("a small number")
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn reaction(&mut self) -> Reaction {
        match self.roll(100) {
            0..88 => Reaction::Takes,
            88..93 => Reaction::Fails,
            93 => Reaction::Refuses,
            94 => Reaction::Asks(30),
            95 => Reaction::Limits(2),
            96 => Reaction::Gone,
            97 | 98 => Reaction::TimesOut,
            _ => Reaction::Breaks,
        }
    }
}

/// Something that happens now and then.
fn disturb(many: &mut QueueOfMany, dice: &mut Dice) {
    let (which, any) = (dice.roll(ENDPOINTS), dice.roll(usize::try_from(many.newest()).expect("a count") + 1));
    let any = i64::try_from(any).expect("a key");
    match dice.roll(60) {
        0 => many.crash(),
        1 => many.restart(),
        2 => many.lose_all(),
        3..9 => many.suspend(which),
        9..15 => many.relocate(which, dice.roll(1000)),
        15..40 => many.replay(any),
        40..50 => many.cancel(any),
        50 => many.set_clock(3_600_000),
        51 => many.set_clock(-3_600_000),
        _ => {
            for number in 0..ENDPOINTS {
                many.resume(number, if dice.one_in(4) { Resend::Nothing } else { Resend::Failed });
            }
        }
    }
}

/// This many events are published to webhooks that send in this way, while everything happens.
fn history(events: usize, sending: Sending, seed: u64) -> QueueOfMany {
    let (mut many, mut dice) = (QueueOfMany::new(ENDPOINTS, sending), Dice(seed));
    let mut published = 0;
    while published < events {
        // Nearly all is delivered while things go wrong.
        if many.number("SELECT count(*) FROM delivery WHERE state IN ('pending', 'held')") < BACKLOG {
            let some = (0..dice.roll(4 * ENDPOINTS)).map(|_| dice.roll(ENDPOINTS)).take(events - published);
            let some: Vec<usize> = some.collect();
            published += some.len();
            many.publish(some);
        }
        if dice.one_in(4) {
            disturb(&mut many, &mut dice);
        }
        for _ in 0..2 {
            many.round(false);
            // Some attempts last longer than others.
            for _ in 0..many.under_way() * 7 / 8 {
                let (which, reaction) = (dice.roll(ENDPOINTS), dice.reaction());
                many.end(which, reaction);
            }
        }
        match dice.roll(8) {
            0..4 => _ = many.advance(),
            4 | 5 => many.pass(3 * HOUR),
            _ => {}
        }
    }
    many.comes_to_rest();
    many
}

/// At least as many deliveries as named were disturbed in each way.
fn check(many: &QueueOfMany, events: usize, disturbed: &[(&str, i64)]) {
    let count = |condition: &str| many.number(&format!("SELECT count(*) FROM delivery WHERE {condition}"));
    let events = i64::try_from(events).expect("a count");
    assert_eq!(count("replay_of IS NULL"), events, "each was accepted");
    assert_eq!(count("state NOT IN ('delivered', 'exhausted', 'cancelled')"), 0, "each has come to its end");
    assert!(count("state = 'delivered'") > events * 8 / 10, "most arrived: {}", count("state = 'delivered'"));
    for (happened, least) in disturbed {
        assert!(count(happened) >= *least, "{happened}: {}", count(happened));
    }
}

#[test]
fn a_hundred_thousand_events_under_faults_restarts_replays_and_suspensions_arrive_without_one_inversion() {
    const EVENTS: usize = 100_000;
    let many = history(EVENTS, ORDERED, 1);
    check(&many, EVENTS, DISTURBED);
    assert_eq!((many.seen.inversions, many.seen.at_once), (0, 0), "of {} that were accepted", many.seen.accepted);
}

#[test]
fn an_order_is_kept_beside_a_rate_limit() {
    const EVENTS: usize = 3_000;
    let rate_limit = Some(RateLimit::per_second(100.0).expect("a limit"));
    let many = history(EVENTS, Sending { rate_limit, ordered: true }, 2);
    check(&many, EVENTS, &[]);
    assert_eq!((many.seen.inversions, many.seen.at_once), (0, 0));
}

#[test]
fn without_an_order_events_overtake_each_other() {
    let (mut many, mut dice) = (QueueOfMany::new(ENDPOINTS, Sending::default()), Dice(3));
    for _ in 0..40 {
        many.publish((0..ENDPOINTS).map(|_| dice.roll(ENDPOINTS)).collect());
        many.round(false);
        for _ in 0..many.under_way() * 7 / 8 {
            let (which, reaction) = (dice.roll(ENDPOINTS), dice.reaction());
            many.end(which, reaction);
        }
    }
    many.comes_to_rest();
    assert!(many.seen.inversions > 0 && many.seen.at_once > 0, "so the stories above can fail");
}
