//! The lanes by themselves: how many attempts an endpoint may have at once, after which answers it is trusted, and its
//! rests.

use std::time::Duration;

use ngoma::{
    clock::Stopwatch,
    domain::{endpoint::EndpointKey, timestamp::Timestamp},
    engine::lanes::{AttemptResult, Limits},
    store::queue::{Claim, Claimed},
};

use crate::support::lane_harness::{FAST, IN_FLIGHT, LaneHarness, PER_ENDPOINT, limits};

/// At 200 ms an endpoint is far away.
const FAR: AttemptResult = AttemptResult::Succeeded(Duration::from_millis(200));
const AT_ONCE: AttemptResult = AttemptResult::Succeeded(Duration::ZERO);
/// Most attempts to one endpoint, where receivers are far away.
const MANY: usize = 64;
/// Fast answers after which an endpoint counts as fast again.
const ROW: usize = 5;

/// One endpoint, which may have many attempts at once.
fn far_away() -> LaneHarness {
    LaneHarness::with(1, limits(16 * MANY, MANY))
}

/// Whether the endpoint counts as fast: only such ones have claims ahead, and so more room than places.
fn is_fast(harness: &mut LaneHarness, endpoint: EndpointKey) -> bool {
    harness.places(endpoint) < harness.room()[&endpoint]
}

#[test]
fn a_webhook_begins_with_one_attempt_and_has_one_more_for_each_success() {
    let mut harness = far_away();
    for places in 1..=10 {
        assert_eq!(harness.places(1), places);
        // It is used: the others stay under way meanwhile.
        harness.publish(1, 1000);
        harness.turn();
        let begun = harness.launch();
        assert_eq!(harness.end(&begun[0], FAR), None);
        begun[1..].iter().for_each(|claim| _ = harness.end(claim, AttemptResult::Unknown));
        harness.lanes.written(begun.len());
        harness.forget_due();
    }
}

#[test]
fn a_receiver_far_away_gets_as_many_attempts_as_the_settings_allow_and_one_that_answers_at_once_gets_eight() {
    for (answer, most) in [(FAR, MANY), (AT_ONCE, 8)] {
        let mut harness = far_away();
        let largest = (0..100).map(|_| harness.burst(1, answer)).last();
        assert_eq!(largest, Some(most), "{answer:?}");
    }
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut harness = far_away();
    harness.attempts_alone(1, 1000, FAR);
    assert_eq!(harness.places(1), 3, "one of three is less than half");
}

#[test]
fn failures_and_time_outs_halve_the_window_once_for_a_burst() {
    for ended in [AttemptResult::Failed, AttemptResult::TimedOut] {
        let mut harness = far_away();
        while harness.burst(1, FAR) < MANY {}
        assert_eq!(harness.burst(1, ended), MANY);
        if ended == AttemptResult::TimedOut {
            assert_eq!(harness.places(1), 1, "on probation");
            harness.attempts(1, 1, FAR);
        }
        assert_eq!(harness.places(1), MANY / 2, "{ended:?}");
        // From here on it grows by one for a whole window of successes.
        assert_eq!(harness.burst(1, FAR), MANY / 2);
        assert_eq!(harness.places(1), MANY / 2, "{ended:?}: not quite one more");
        harness.burst(1, FAR);
        assert_eq!(harness.places(1), MANY / 2 + 1, "{ended:?}");
        harness.burst(1, AttemptResult::Failed);
        assert_eq!(harness.places(1), MANY / 4, "attempts that began since count again");
    }
}

#[test]
fn an_event_that_is_refused_costs_one_place() {
    let mut harness = far_away();
    while harness.burst(1, FAR) < MANY {}
    harness.attempts(1, 3, AttemptResult::Refused);
    assert_eq!(harness.places(1), MANY - 3);
    harness.attempts(1, 100, AttemptResult::Refused);
    assert_eq!(harness.places(1), 1, "and there is always one");
}

#[test]
fn an_endpoint_is_trusted_again_after_five_fast_answers_in_a_row() {
    for ended in [AttemptResult::Failed, AttemptResult::TimedOut, AttemptResult::Succeeded(Duration::from_secs(61))] {
        let mut harness = LaneHarness::new(1);
        harness.attempts(1, 1, FAST);
        assert!(is_fast(&mut harness, 1), "one answer is enough for a new one");
        harness.attempts(1, 1, ended);
        harness.attempts(1, ROW - 1, FAST);
        harness.attempts(1, 1, AttemptResult::Failed);
        for answers in 0..ROW {
            assert!(!is_fast(&mut harness, 1), "{ended:?}: after {answers}");
            harness.attempts(1, 1, FAST);
        }
        // A slow one makes it seem far away for a while.
        harness.attempts(1, 100, FAST);
        assert!(is_fast(&mut harness, 1), "{ended:?}");
    }
}

#[test]
fn an_endpoint_that_was_on_probation_at_the_start_has_to_answer_five_times_too() {
    let mut harness = LaneHarness::new(1);
    harness.lanes.put_on_probation(1);
    for answers in 0..ROW {
        assert!(!is_fast(&mut harness, 1), "after {answers}");
        harness.attempts(1, 1, FAST);
    }
    assert!(is_fast(&mut harness, 1));
}

/// Waits, at work, until an attempt in flight is slow: then nothing of its endpoint counts as fast.
fn until_slow(harness: &mut LaneHarness, limits: Limits) {
    let watch = Stopwatch::start();
    while watch.elapsed() <= limits.slow_after.max(ngoma::engine::lanes::AT_WORK) {}
    assert!(harness.lanes.begin(harness.now).is_none(), "nothing is in hand");
}

#[test]
fn an_attempt_in_flight_that_becomes_slow_makes_its_endpoint_slow_until_it_ends() {
    let limits = Limits { slow_after: Duration::from_millis(3), ..limits(IN_FLIGHT, PER_ENDPOINT) };
    for shown in [None, Some(AT_ONCE)] {
        let mut harness = LaneHarness::with(1, limits);
        shown.into_iter().for_each(|shown| harness.attempts(1, 30, shown));
        let claim = harness.claim(1);
        harness.lanes.prefetch(claim);
        let hanging = harness.lanes.begin(harness.now).expect("it begins");
        until_slow(&mut harness, limits);
        let room = |harness: &mut LaneHarness| {
            harness.lanes.due(1, harness.now + Duration::from_secs(1));
            harness.room()[&1]
        };
        assert!(room(&mut harness) < PER_ENDPOINT, "it has nothing ahead");
        if shown.is_some() {
            harness.attempts(1, 2 * ROW, AT_ONCE);
            assert!(room(&mut harness) < PER_ENDPOINT, "fast answers beside it prove nothing");
            harness.end(&hanging, AttemptResult::Unknown);
            harness.lanes.written(1);
            harness.attempts(1, 1, AT_ONCE);
            assert!(room(&mut harness) > PER_ENDPOINT);
        }
    }
}

#[test]
fn a_claim_that_was_given_back_and_begins_again_is_not_slow_because_of_its_first_beginning() {
    let limits = Limits { slow_after: Duration::from_millis(3), ..limits(IN_FLIGHT, PER_ENDPOINT) };
    let mut harness = LaneHarness::with(1, limits);
    harness.attempts(1, 30, AT_ONCE);
    let claim = harness.claim(1);
    let again = Claim { key: claim.key, attempt: claim.attempt, ..harness.claim(1) };
    for claim in [claim, again] {
        harness.lanes.prefetch(claim);
        let claim = harness.lanes.begin(harness.now).expect("it begins");
        until_slow(&mut harness, limits);
        harness.end(&claim, AttemptResult::Unknown);
        harness.lanes.written(1);
    }
    harness.attempts(1, ROW, AT_ONCE);
    assert!(harness.room()[&1] > PER_ENDPOINT, "none is slow in flight");
}

#[test]
fn a_receiver_that_asks_for_a_rest_gets_nothing_until_it_is_over_and_then_one_attempt_first() {
    let mut harness = far_away();
    while harness.burst(1, FAR) < MANY {}
    harness.attempts(1, 50, AT_ONCE);
    harness.publish(1, 1000);
    harness.turn();
    let begun = harness.launch();
    assert_eq!(begun.len(), 8);
    let ahead = harness.lanes.busy() - begun.len();
    assert!(ahead > 0);
    begun.iter().for_each(|claim| _ = harness.end(claim, AttemptResult::Busy));
    assert!(harness.launch().is_empty(), "it rests from the answer on");
    harness.lanes.written(begun.len());
    let until = harness.now + Duration::from_secs(30);
    begun.iter().for_each(|_| harness.lanes.rest(1, until));
    assert_eq!(harness.lanes.overdue(harness.now).len(), ahead, "claims that have not begun go back");
    harness.lanes.written(ahead);
    harness.publish(1, 10);
    assert_eq!(harness.lanes.next_turn(harness.now), Some(until));
    assert!(harness.turn().is_empty() && harness.room()[&1] == 0);
    harness.now = Timestamp::from_millis(until.millis() - 1);
    assert!(harness.turn().is_empty() && harness.launch().is_empty());
    harness.now = until;
    assert_eq!(harness.turn(), [(1, 1)].into(), "one attempt");
    let claim = harness.launch().pop().expect("it begins");
    harness.end(&claim, FAR);
    harness.lanes.written(1);
    // The window was 64: up to half of it, each success adds one.
    assert_eq!(harness.turn(), [(1, 2)].into(), "then more");
    harness.launch().iter().for_each(|claim| _ = harness.end(claim, FAR));
    harness.lanes.written(2);
    assert_eq!(harness.turn(), [(1, 4)].into(), "a burst of answers that ask for a rest counts once");
}

#[test]
fn a_rest_moves_with_the_clock_and_ends_when_the_endpoint_is_resumed_or_moved() {
    let mut harness = LaneHarness::new(1);
    harness.publish(1, 1);
    let until = harness.now + Duration::from_secs(30);
    harness.lanes.rest(1, until);
    let hour = Duration::from_secs(3600);
    harness.lanes.shift(3_600_000);
    harness.now = harness.now + hour;
    assert!(harness.turn().is_empty());
    assert_eq!(harness.lanes.next_turn(harness.now), Some(until + hour));
    harness.lanes.restart(1);
    assert_eq!(harness.turn(), [(1, 1)].into());
}

#[test]
fn a_resumed_or_moved_endpoint_begins_with_one_attempt_and_grows_like_a_new_one() {
    let mut harness = far_away();
    for _ in 0..10 {
        harness.burst(1, AttemptResult::Failed);
    }
    harness.lanes.restart(1);
    for places in [1, 2, 4, 8, 16, 32, 64] {
        assert_eq!(harness.burst(1, FAR), places);
    }
}

#[test]
fn idle_lanes_are_forgotten_in_time_unless_they_are_on_probation_or_at_rest() {
    let mut harness = LaneHarness::new(3);
    harness.attempts(1, 1, AttemptResult::TimedOut);
    harness.attempts(2, 1, FAST);
    harness.lanes.rest(3, harness.now + Duration::from_secs(30));
    assert_eq!(harness.room(), [(1, 0), (2, 4), (3, 0)].into());
    for endpoint in 4..5000 {
        harness.lanes.due(endpoint, harness.now);
        harness.lanes.served(Claimed::nothing(endpoint, None), harness.now);
    }
    assert_eq!(harness.room().get(&2), Some(&0), "it has to show again how it answers");
    harness.publish(3, 1);
    assert!(harness.turn().is_empty(), "it rests");
    let claim = harness.claim(1);
    harness.lanes.prefetch(claim);
    let claim = harness.launch().pop().expect("it begins");
    assert_eq!(harness.end(&claim, FAST), Some(false), "it is off probation");
}
