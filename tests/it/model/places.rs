//! The lanes by themselves: how endpoints of all kinds, and accounts, share the places.

use std::{collections::BTreeMap, time::Duration};

use ngoma::{domain::endpoint::EndpointKey, engine::lanes::AttemptResult};

use crate::support::lane_harness::{FAST, IN_FLIGHT, LaneHarness, PER_ENDPOINT, limits};

const SLOWLY: AttemptResult = AttemptResult::Succeeded(Duration::from_secs(61));
const FAR: AttemptResult = AttemptResult::Succeeded(Duration::from_millis(200));
/// Most places of slow endpoints and those that fail; with those far away; with new ones too.
const SLOW_PLACES: usize = IN_FLIGHT * 3 / 4;
const FAR_PLACES: usize = IN_FLIGHT * 7 / 8;
const NEW_PLACES: usize = IN_FLIGHT * 15 / 16;

/// One endpoint, and twice as many others as there are places, which have shown this and have much to be sent.
fn crowded(shown: Option<AttemptResult>) -> (LaneHarness, EndpointKey) {
    let mut harness = LaneHarness::new(2 * IN_FLIGHT + 1);
    let (one, rest) = (harness.keys()[0], harness.keys()[1..].to_vec());
    harness.attempts(one, 30, FAST);
    for endpoint in rest {
        shown.into_iter().for_each(|shown| harness.attempts(endpoint, 2, shown));
        harness.publish(endpoint, 100);
    }
    (harness, one)
}

#[test]
fn a_quick_endpoint_finds_a_place_beside_any_number_of_others() {
    let shown = [
        (Some(SLOWLY), SLOW_PLACES),
        (Some(AttemptResult::Failed), SLOW_PLACES),
        (Some(AttemptResult::Refused), SLOW_PLACES),
        (Some(FAR), FAR_PLACES),
        (None, NEW_PLACES),
    ];
    for (shown, most) in shown {
        let (mut harness, quick) = crowded(shown);
        harness.turn();
        assert_eq!(harness.launch().len(), most, "{shown:?}");
        harness.publish(quick, 100);
        assert!(harness.turn()[&quick] >= (IN_FLIGHT - most).min(PER_ENDPOINT), "after {shown:?}: at once");
        assert_eq!(harness.launch().len(), (IN_FLIGHT - most).min(PER_ENDPOINT));
    }
}

#[test]
fn an_endpoint_far_away_finds_a_place_beside_any_number_of_slow_ones_and_a_new_one_beside_both() {
    for shown in [SLOWLY, AttemptResult::Failed, FAR] {
        let mut harness = LaneHarness::new(2 * IN_FLIGHT + 2);
        let ([new, far], rest) = ([harness.keys()[0], harness.keys()[1]], harness.keys()[2..].to_vec());
        harness.attempts(far, 2, FAR);
        for endpoint in rest {
            harness.attempts(endpoint, 2, shown);
            harness.publish(endpoint, 100);
        }
        harness.turn();
        let taken = harness.launch().len();
        harness.publish(far, 1);
        let is_served = harness.turn().contains_key(&far);
        assert_eq!(harness.launch().len(), FAR_PLACES.saturating_sub(taken).min(1), "{shown:?}");
        assert!(is_served || shown == FAR, "{shown:?}");
        harness.publish(new, 100);
        assert_eq!(harness.turn().get(&new), Some(&1), "{shown:?}");
        assert_eq!(harness.launch().len(), 1);
    }
}

#[test]
fn endpoints_on_probation_never_fill_more_than_half_of_the_places() {
    let mut harness = LaneHarness::new(IN_FLIGHT);
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 30, FAST);
    }
    for endpoint in harness.keys() {
        for _ in 0..3 {
            let claim = harness.claim(endpoint);
            harness.lanes.prefetch(claim);
        }
    }
    let begun = harness.launch();
    assert_eq!(begun.len(), IN_FLIGHT, "one of each is under way, two are in hand");
    begun.iter().for_each(|claim| _ = harness.end(claim, AttemptResult::TimedOut));
    harness.lanes.written(IN_FLIGHT);
    assert_eq!(harness.launch().len(), IN_FLIGHT / 2);
    let back = harness.lanes.overdue(harness.now).len();
    harness.lanes.written(back);
    for endpoint in harness.keys() {
        harness.publish(endpoint, 3);
    }
    assert!(harness.turn().is_empty(), "the half is full");
}

#[test]
fn webhooks_that_answer_fast_twice_and_then_hang_leave_room_for_a_healthy_one() {
    let mut harness = LaneHarness::new(4 * IN_FLIGHT + 1);
    let (healthy, rest) = (harness.keys()[0], harness.keys()[1..].to_vec());
    harness.attempts(healthy, 30, FAST);
    // Each has hung once before.
    for endpoint in &rest {
        harness.attempts(*endpoint, 1, AttemptResult::TimedOut);
        harness.publish(*endpoint, 1000);
    }
    let mut attempts: BTreeMap<EndpointKey, usize> = BTreeMap::new();
    let mut hanging = Vec::new();
    for round in 0..1000 {
        harness.publish(healthy, 1);
        harness.turn();
        let begun = harness.launch();
        assert!(begun.iter().any(|claim| claim.target.key == healthy), "round {round}: {} hang", hanging.len());
        for claim in begun {
            let number = attempts.entry(claim.target.key).or_default();
            *number += 1;
            if claim.target.key == healthy || !number.is_multiple_of(3) {
                harness.end(&claim, FAST);
                harness.lanes.written(1);
            } else {
                hanging.push(claim);
            }
        }
        if hanging.len() >= SLOW_PLACES || round % 5 == 0 && !hanging.is_empty() {
            harness.end(&hanging.remove(0), AttemptResult::TimedOut);
            harness.lanes.written(1);
        }
        let back = harness.lanes.overdue(harness.now);
        harness.lanes.written(back.len());
        back.iter().for_each(|claim| harness.publish(claim.target.key, 1));
        harness.now = harness.now + Duration::from_millis(1);
    }
    assert!(attempts.len() > SLOW_PLACES && hanging.len() >= SLOW_PLACES / 2, "{attempts:?}");
}

/// Two accounts, each with endpoints that have shown this.
fn two_accounts(endpoints: [usize; 2], shown: AttemptResult) -> (LaneHarness, [Vec<EndpointKey>; 2]) {
    let mut harness = LaneHarness::of_accounts(&endpoints, limits(IN_FLIGHT, PER_ENDPOINT));
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 30, shown);
    }
    let mut keys = harness.keys();
    let second = keys.split_off(endpoints[0]);
    (harness, [keys, second])
}

#[test]
fn an_account_has_half_of_the_places_while_another_waits_and_all_of_them_otherwise() {
    let slow = AttemptResult::Succeeded(Duration::from_secs(2));
    for (shown, most) in [(FAST, IN_FLIGHT), (slow, FAR_PLACES)] {
        let (mut harness, [greedy, modest]) = two_accounts([30, 4], shown);
        greedy.iter().for_each(|endpoint| harness.publish(*endpoint, 100));
        harness.now = harness.now + Duration::from_millis(1);
        modest.iter().for_each(|endpoint| harness.publish(*endpoint, 100));
        harness.turn();
        let begun = harness.launch();
        let of_modest = begun.iter().filter(|claim| modest.contains(&claim.target.key)).count();
        assert_eq!((begun.len(), of_modest), (most, most - IN_FLIGHT / 2), "{shown:?}");
        let (mut alone, [greedy, _]) = two_accounts([30, 4], shown);
        greedy.iter().for_each(|endpoint| alone.publish(*endpoint, 100));
        alone.turn();
        assert_eq!(alone.launch().len(), most, "nobody else waits");
    }
}

#[test]
fn an_account_that_waits_gets_the_places_that_become_free_until_it_has_its_half() {
    let (mut harness, [greedy, modest]) = two_accounts([30, 30], FAR);
    greedy.iter().for_each(|endpoint| harness.publish(*endpoint, 100));
    harness.turn();
    let mut begun = harness.launch();
    assert_eq!(begun.len(), FAR_PLACES);
    modest.iter().for_each(|endpoint| harness.publish(*endpoint, 100));
    for _ in 0..FAR_PLACES {
        let claim = begun.remove(0);
        harness.end(&claim, FAR);
        harness.lanes.written(1);
        harness.turn();
        begun.extend(harness.launch());
    }
    let of_greedy = begun.iter().filter(|claim| greedy.contains(&claim.target.key)).count();
    assert!(begun.len() == FAR_PLACES && of_greedy <= IN_FLIGHT / 2, "{of_greedy} of {}", begun.len());
}

#[test]
fn prefetched_claims_begin_by_turns_among_accounts_and_among_the_webhooks_of_each() {
    let (mut harness, [first, second]) = two_accounts([3, 1], FAST);
    for endpoint in first.iter().chain(&second) {
        for _ in 0..2 {
            let claim = harness.claim(*endpoint);
            harness.lanes.prefetch(claim);
        }
    }
    let begun: Vec<EndpointKey> = harness.launch().iter().map(|claim| claim.target.key).collect();
    assert_eq!(begun, [1, 4, 2, 4, 3, 1, 2, 3]);
}

#[test]
fn a_claim_that_may_begin_does_however_many_webhooks_of_other_accounts_may_not() {
    let mut harness = LaneHarness::of_accounts(&[9, 1], limits(IN_FLIGHT, 1));
    for endpoint in harness.keys() {
        harness.attempts(endpoint, 1, FAST);
    }
    // All but the last of the first account have an attempt under way, and one more in hand.
    let (free, busy) = (9, [1, 2, 3, 4, 5, 6, 7, 8, 10]);
    for endpoint in busy {
        let claim = harness.claim(endpoint);
        harness.lanes.prefetch(claim);
        harness.lanes.begin(harness.now).expect("it begins");
    }
    for endpoint in busy.into_iter().chain([free]) {
        let claim = harness.claim(endpoint);
        harness.lanes.prefetch(claim);
    }
    let begun = harness.lanes.begin(harness.now).map(|claim| claim.target.key);
    assert_eq!(begun, Some(free));
}
