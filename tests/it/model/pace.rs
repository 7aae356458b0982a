//! The pace of a webhook with a rate limit: the lanes by themselves, with a clock moved by hand.

use std::time::Duration;

use ngoma::domain::endpoint_settings::{RateLimit, Sending};

use crate::support::lane_harness::{FAST, LaneHarness};

const SECOND: i64 = 1000;
/// Deliveries may be claimed together that a limit allows within this time.
const TOGETHER: f64 = 0.02;

fn limit(harness: &mut LaneHarness, deliveries: f64) {
    let rate_limit = Some(RateLimit::per_second(deliveries).expect("a limit"));
    harness.lanes.send_like(1, Sending { rate_limit, ordered: false });
}

/// Goes on for this many steps. Gives the milliseconds at which attempts began.
fn run(harness: &mut LaneHarness, steps: i64, step: Duration) -> Vec<i64> {
    let mut begun = Vec::new();
    for _ in 0..steps {
        harness.turn();
        for claim in harness.launch() {
            begun.push(harness.now.millis());
            harness.end(&claim, FAST);
            harness.lanes.written(1);
        }
        harness.now = harness.now + step;
    }
    begun
}

#[test]
fn a_limited_webhook_gets_no_more_than_its_limit_in_any_second_and_no_less_in_the_long_run() {
    for deliveries in [0.1, 0.5, 1.0, 2.5, 7.0, 60.0, 333.333, 1000.0] {
        let mut harness = LaneHarness::new(1);
        harness.attempts(1, 30, FAST);
        limit(&mut harness, deliveries);
        harness.publish(1, 100_000);
        let (step, seconds) = (Duration::from_millis(1), if deliveries < 1.0 { 40 } else { 10 });
        let begun = run(&mut harness, seconds * SECOND, step);
        let together = (deliveries * TOGETHER).max(1.0);
        for (first, at) in begun.iter().enumerate() {
            let within = begun[first..].iter().take_while(|later| **later < at + SECOND).count();
            assert!(within as f64 <= deliveries + together, "{within} within a second, of {deliveries}");
        }
        let expected = deliveries * seconds as f64;
        assert!(begun.len() as f64 >= expected.floor(), "{} of {expected}", begun.len());
        assert!(begun.len() as f64 <= expected + together + 1.0, "{} of {expected}", begun.len());
    }
}

#[test]
fn a_webhook_at_its_limit_keeps_no_other_waiting_and_has_the_engine_wake_in_time() {
    let mut harness = LaneHarness::new(2);
    limit(&mut harness, 0.5);
    harness.publish(1, 10);
    harness.publish(2, 3);
    assert_eq!(harness.turn().get(&1), Some(&1));
    harness.launch().iter().for_each(|claim| _ = harness.end(claim, FAST));
    harness.publish(1, 10);
    assert_eq!(harness.turn().get(&1), None, "it waits");
    assert_eq!(harness.lanes.next_turn(harness.now), Some(harness.now + Duration::from_secs(2)));
    assert!(harness.pending[&2] < 3, "the other goes on");
    harness.now = harness.now + Duration::from_secs(2);
    assert_eq!(harness.turn().get(&1), Some(&1));
}

#[test]
fn what_a_limited_webhook_did_not_use_is_not_made_up_for() {
    let mut harness = LaneHarness::new(1);
    harness.attempts(1, 30, FAST);
    limit(&mut harness, 4.0);
    harness.now = harness.now + Duration::from_secs(3600);
    harness.publish(1, 100);
    let begun = run(&mut harness, 1000, Duration::from_millis(1));
    let first = begun[0];
    assert_eq!(begun.iter().map(|at| at - first).collect::<Vec<_>>(), [0, 250, 500, 750]);
}

#[test]
fn another_limit_counts_at_once_and_none_lets_everything_go() {
    let mut harness = LaneHarness::new(1);
    harness.attempts(1, 30, FAST);
    limit(&mut harness, 0.1);
    harness.publish(1, 1000);
    assert_eq!(run(&mut harness, 2 * SECOND, Duration::from_millis(1)).len(), 1);
    limit(&mut harness, 10.0);
    assert_eq!(run(&mut harness, SECOND, Duration::from_millis(1)).len(), 10, "not after ten seconds");
    limit(&mut harness, 0.1);
    assert_eq!(run(&mut harness, 9 * SECOND, Duration::from_millis(1)).len(), 0);
    harness.lanes.send_like(1, Sending::default());
    assert!(run(&mut harness, 10, Duration::from_millis(1)).len() > 30);
}

#[test]
fn a_clock_that_is_set_moves_the_pace_along() {
    for by in [-3_600_000, 3_600_000] {
        let mut harness = LaneHarness::new(1);
        limit(&mut harness, 0.5);
        harness.publish(1, 10);
        assert_eq!(run(&mut harness, 1, Duration::from_millis(1)).len(), 1);
        harness.lanes.shift(by);
        harness.now = ngoma::domain::timestamp::Timestamp::from_millis(harness.now.millis() + by);
        let begun = run(&mut harness, 4 * SECOND, Duration::from_millis(1));
        assert_eq!(begun.len(), 2, "one every two seconds, wherever the clock stands");
    }
}

#[test]
fn a_limited_webhook_is_known_however_many_others_come() {
    let mut harness = LaneHarness::new(3000);
    limit(&mut harness, 0.1);
    harness.publish(1, 10);
    assert_eq!(run(&mut harness, 1, Duration::from_millis(1)).len(), 1);
    harness.forget_due();
    for endpoint in harness.keys().into_iter().skip(1) {
        harness.publish(endpoint, 1);
        run(&mut harness, 1, Duration::ZERO);
    }
    harness.publish(1, 10);
    assert_eq!(harness.turn().get(&1), None, "its last one is less than ten seconds ago");
}
