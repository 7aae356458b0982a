//! The lanes by themselves: the order of turns, and claims ahead of their places.

use std::time::Duration;

use ngoma::{
    clock::Stopwatch,
    domain::endpoint::EndpointKey,
    engine::lanes::{AT_WORK, AttemptResult, Limits, SENDS},
    store::queue::Claim,
};

use crate::support::lane_harness::{
    FAST, IN_FLIGHT, LaneHarness, MOST_AHEAD_IN_ALL, MOST_FOR_A_PLACE, PER_ENDPOINT, SMALL, limits,
};

#[test]
fn fast_endpoints_have_claims_ahead_and_slow_or_new_ones_have_none() {
    for (millis, ahead) in [(1, 64..=124), (10, 15..=20), (30, 5..=7), (200, 0..=1)] {
        let mut harness = LaneHarness::new(1);
        harness.attempts(1, 30, AttemptResult::Succeeded(Duration::from_millis(millis)));
        harness.publish(1, 1000);
        let claims = harness.turn()[&1];
        assert!(ahead.contains(&(claims - PER_ENDPOINT)), "{claims} claims of one that takes {millis} ms");
        assert!(claims <= PER_ENDPOINT * MOST_FOR_A_PLACE);
        assert_eq!(harness.launch().len(), PER_ENDPOINT, "those that have a place begin");
    }
    let mut harness = LaneHarness::new(1);
    harness.publish(1, 1000);
    assert_eq!(harness.turn(), [(1, 1)].into(), "a new one has to show first how it answers");
}

#[test]
fn an_endpoint_that_becomes_slow_loses_its_claims_ahead() {
    let mut harness = LaneHarness::new(1);
    harness.attempts(1, 30, FAST);
    harness.attempts(1, 30, AttemptResult::Succeeded(Duration::from_millis(250)));
    harness.publish(1, 1000);
    assert_eq!(harness.turn()[&1], PER_ENDPOINT);
}

#[test]
fn large_bodies_are_never_claimed_ahead() {
    let mut harness = LaneHarness::new(1);
    harness.attempts(1, 30, FAST);
    harness.body = SMALL + 1;
    harness.attempts(1, 1, FAST);
    harness.publish(1, 1000);
    assert_eq!(harness.turn()[&1], PER_ENDPOINT);
    for claim in harness.launch() {
        harness.end(&claim, FAST);
        harness.lanes.written(1);
    }
    harness.body = 2;
    harness.attempts(1, 30, FAST);
    harness.publish(1, 1000);
    assert!(harness.turn()[&1] > PER_ENDPOINT, "they are forgotten in time");
}

#[test]
fn claims_ahead_are_bounded_in_all_and_shared_evenly() {
    let mut harness = LaneHarness::with(10, limits(64, PER_ENDPOINT));
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 40, FAST);
        harness.publish(endpoint, 1000);
    }
    let served = harness.turn();
    let each = PER_ENDPOINT + MOST_AHEAD_IN_ALL / 10;
    assert!(served.values().all(|served| (each..=each + 1).contains(served)), "{served:?}");
    assert_eq!(served.values().sum::<usize>(), 10 * PER_ENDPOINT + MOST_AHEAD_IN_ALL);
    harness.turn();
    assert!(harness.lanes.busy() <= 10 * PER_ENDPOINT + MOST_AHEAD_IN_ALL);
    assert_eq!(harness.launch().len(), 10 * PER_ENDPOINT);
}

#[test]
fn scarce_places_are_shared_by_fast_endpoints_and_slower_ones_claim_nothing_ahead() {
    for (pace, ahead) in [(FAST, true), (AttemptResult::Succeeded(Duration::from_millis(250)), false)] {
        let mut harness = LaneHarness::new(5);
        for endpoint in harness.keys() {
            harness.attempts(endpoint, 40, pace);
            harness.publish(endpoint, 1000);
        }
        // Sixteen places for five that may have four each.
        let served = harness.turn();
        let (least, most) = (served.values().min().expect("one"), served.values().max().expect("one"));
        assert!(most - least <= 1, "{served:?}");
        assert_eq!(served.values().sum::<usize>() > IN_FLIGHT, ahead, "{served:?}");
        let most = if ahead { IN_FLIGHT } else { IN_FLIGHT * 7 / 8 };
        assert_eq!(harness.launch().len(), most, "those far away leave some");
    }
}

#[test]
fn another_webhook_has_its_turn_beside_busy_ones_that_hold_all_places_and_claims_ahead() {
    let mut harness = LaneHarness::new(30);
    let (busy, quiet) = (harness.keys()[..29].to_vec(), harness.keys()[29]);
    harness.keys().into_iter().for_each(|endpoint| harness.attempts(endpoint, 40, FAST));
    for endpoint in busy {
        harness.publish(endpoint, 10_000);
    }
    let mut under_way = Vec::new();
    let mut round = |harness: &mut LaneHarness| {
        for claim in std::mem::take(&mut under_way) {
            harness.end(&claim, FAST);
            harness.lanes.written(1);
        }
        harness.turn();
        under_way = harness.launch();
        under_way.iter().any(|claim: &Claim| claim.target.key == quiet)
    };
    for _ in 0..20 {
        round(&mut harness);
    }
    harness.publish(quiet, 1);
    assert!((0..10).any(|_| round(&mut harness)), "it waits for the end of all that the others have");
}

#[test]
fn endpoints_with_a_free_place_are_served_before_claims_ahead() {
    let mut harness = LaneHarness::with(33, limits(64, 1));
    let (fast, [late]) = (harness.keys()[..32].to_vec(), [harness.keys()[32]]);
    for endpoint in fast {
        harness.attempts(endpoint, 40, FAST);
        harness.publish(endpoint, 1000);
    }
    harness.turn();
    assert_eq!(harness.lanes.busy(), 32 + MOST_AHEAD_IN_ALL, "all that may be claimed ahead is");
    harness.now = harness.now + Duration::from_millis(1);
    harness.publish(late, 1);
    assert_eq!(harness.turn().get(&late), Some(&1), "half of the places are free");
}

#[test]
fn the_endpoint_that_has_waited_longest_is_served_first_and_then_goes_to_the_back() {
    let mut harness = LaneHarness::with(3, limits(1, 1));
    let mut order = Vec::new();
    for endpoint in [2, 3, 1] {
        harness.publish(endpoint, 10);
        harness.now = harness.now + Duration::from_millis(1);
    }
    for _ in 0..6 {
        order.extend(harness.turn().into_keys());
        let claim = harness.launch().pop().expect("it begins");
        harness.end(&claim, AttemptResult::Succeeded(Duration::from_millis(250)));
        harness.lanes.written(1);
        harness.now = harness.now + Duration::from_millis(1);
    }
    assert_eq!(order, [2, 3, 1, 2, 3, 1]);
}

#[test]
fn prefetched_claims_begin_endpoint_by_endpoint() {
    let mut harness = LaneHarness::new(3);
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 2, FAST);
        harness.publish(endpoint, 3);
    }
    harness.turn();
    let begun: Vec<EndpointKey> = harness.launch().iter().map(|claim| claim.target.key).collect();
    assert_eq!(begun, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
}

#[test]
fn uncommitted_outcomes_count_as_under_way() {
    let mut harness = LaneHarness::with(1, limits(2, 2));
    harness.attempts(1, 30, FAST);
    harness.publish(1, 10);
    harness.turn();
    let begun = harness.launch();
    assert_eq!(begun.len(), 2);
    begun.iter().for_each(|claim| assert_eq!(harness.end(claim, FAST), None));
    assert_eq!(harness.launch().len(), 0, "a crash would make these again");
    harness.lanes.written(1);
    assert_eq!(harness.launch().len(), 1);
    harness.lanes.written(1);
    assert_eq!(harness.launch().len(), 1);
}

#[test]
fn prefetched_claims_of_an_endpoint_that_times_out_are_given_back() {
    let mut harness = LaneHarness::new(2);
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 30, FAST);
        harness.publish(endpoint, 10);
    }
    harness.turn();
    let begun = harness.launch();
    assert!(harness.lanes.overdue(harness.now).is_empty(), "all are fast so far");
    let slow = begun.iter().find(|claim| claim.target.key == 1).expect("one of the first");
    assert_eq!(harness.end(slow, AttemptResult::TimedOut), Some(true), "it goes on probation");
    let back = harness.lanes.overdue(harness.now);
    assert_eq!(back.len(), 6, "ten, less four that began");
    assert!(back.iter().all(|claim| claim.target.key == 1));
    assert_eq!(harness.lanes.busy(), 20, "which counts until it is written");
    harness.lanes.written(1 + back.len());
    harness.publish(1, 7);
    assert_eq!(harness.turn().get(&1), None, "three are under way, and one place is what it has");
    for claim in begun.iter().filter(|claim| claim.target.key == 1).skip(1) {
        harness.end(claim, AttemptResult::TimedOut);
        harness.lanes.written(1);
    }
    assert_eq!(harness.turn().get(&1), Some(&1));
    let again = harness.launch().into_iter().find(|claim| claim.target.key == 1).expect("it begins");
    assert_eq!(harness.end(&again, FAST), Some(false), "it is off probation");
    assert_eq!(harness.turn()[&1], PER_ENDPOINT / 2, "a burst of time-outs has halved its places once");
}

#[test]
fn closed_lanes_give_prefetched_claims_back_and_neither_begin_nor_claim() {
    let mut harness = LaneHarness::new(1);
    harness.attempts(1, 30, FAST);
    harness.publish(1, 100);
    let claims = harness.turn()[&1];
    assert_eq!(harness.launch().len(), PER_ENDPOINT);
    harness.lanes.close();
    assert_eq!(harness.lanes.overdue(harness.now).len(), claims - PER_ENDPOINT);
    harness.publish(1, 1);
    let claim = harness.claim(1);
    harness.lanes.prefetch(claim);
    assert!(harness.launch().is_empty() && harness.turn().is_empty() && !harness.lanes.is_pressed());
    assert_eq!(harness.lanes.overdue(harness.now).len(), 1, "what came late is given back too");
    assert_eq!(harness.lanes.claim_budget(harness.now).0, 0);
    assert_eq!(harness.lanes.in_flight(), PER_ENDPOINT, "what is under way may end");
}

#[test]
fn new_deliveries_are_claimed_at_birth_only_if_nothing_older_waits_and_off_probation() {
    let mut harness = LaneHarness::new(3);
    let [proven, new, suspect] = [1, 2, 3];
    harness.attempts(proven, 30, FAST);
    harness.attempts(suspect, 30, FAST);
    harness.attempts(suspect, 1, AttemptResult::TimedOut);
    harness.attempts(new, 1, AttemptResult::Unknown);
    let room = harness.room();
    assert!(room[&proven] > PER_ENDPOINT, "so many as it may hold");
    assert_eq!((room[&new], room[&suspect]), (1, 0));
    assert!(harness.room().is_empty(), "who has not changed has what it had");
    harness.lanes.due(proven, harness.now + Duration::from_secs(1));
    assert!(harness.room()[&proven] > PER_ENDPOINT, "what is due later does not wait yet");
    harness.publish(proven, 1000);
    assert_eq!(harness.room()[&proven], 0, "an older one waits");
    harness.turn();
    harness.launch();
    assert_eq!(harness.room()[&proven], 0, "it holds all it may");
    let claim = harness.claim(new);
    harness.lanes.prefetch(claim);
    assert_eq!(harness.room()[&new], 0);
}

#[test]
fn attempts_at_work_are_limited_and_those_that_wait_for_their_receiver_do_not_count() {
    let at_once = AttemptResult::Succeeded(Duration::ZERO);
    let far = AttemptResult::Succeeded(Duration::from_millis(200));
    // Where a receiver is far away, only the request needs a processor.
    for (answer, at_work) in [(at_once, AT_WORK), (far, SENDS)] {
        let mut harness = LaneHarness::with(1, Limits { at_work: 1, ..limits(IN_FLIGHT, PER_ENDPOINT) });
        harness.attempts_alone(1, 30, answer);
        assert!(!harness.lanes.is_pressed(), "nothing is in hand");
        for _ in 0..2 {
            let claim = harness.claim(1);
            harness.lanes.prefetch(claim);
        }
        let watch = Stopwatch::start();
        harness.lanes.begin(harness.now).expect("it begins");
        while harness.lanes.begin(harness.now).is_none() {
            // The story may be held up between the two questions.
            assert!(harness.lanes.is_pressed() || watch.elapsed() >= at_work, "it waits for the first alone");
        }
        assert!(watch.elapsed() >= at_work, "until that is no longer at work");
        assert!(!harness.lanes.is_pressed());
    }
    let mut still = LaneHarness::with(1, Limits { at_work: 0, ..limits(1, 1) });
    let claim = still.claim(1);
    still.lanes.prefetch(claim);
    assert!(still.lanes.begin(still.now).is_none() && still.lanes.is_pressed());
}

#[test]
fn an_attempt_that_is_lost_frees_its_place_and_counts_for_nothing_when_it_ends_after_all() {
    let mut harness = LaneHarness::with(1, limits(1, 1));
    harness.publish(1, 1);
    harness.turn();
    let lost = harness.launch().pop().expect("it begins");
    assert!(harness.lanes.lost(Duration::from_secs(3600)).is_empty());
    assert_eq!(harness.lanes.lost(Duration::ZERO), [lost.key]);
    assert_eq!((harness.lanes.in_flight(), harness.lanes.busy()), (0, 1), "it is given back in the next turn");
    harness.lanes.written(1);
    let again = Claim { key: lost.key, attempt: lost.attempt + 1, ..harness.claim(1) };
    harness.lanes.prefetch(again);
    let again = harness.launch().pop().expect("it begins");
    assert_eq!(harness.lanes.ended(lost.owner(), AttemptResult::TimedOut), None);
    assert_eq!(harness.end(&again, FAST), None, "nobody went on probation");
}
