//! Whose turn it is, and how much is claimed ahead: the lanes by themselves, where histories are too coarse.

use std::time::Duration;

use ngoma::{
    clock::Stopwatch,
    domain::endpoint::EndpointKey,
    engine::lanes::{AT_WORK, Ended, Limits},
    store::queue::{Claim, Claimed},
};

use crate::model::lane_harness::{FAST, IN_FLIGHT, MOST_AHEAD_IN_ALL, MOST_FOR_A_PLACE, PER_ENDPOINT, SMALL, Yard};

#[test]
fn who_answers_fast_has_claims_ahead_and_who_is_slow_or_new_has_none() {
    for (millis, ahead) in [(1, 64..=124), (10, 8..=16), (30, 0..=0), (200, 0..=0)] {
        let mut yard = Yard::new(1);
        yard.attempts(1, 30, Ended::Well(Duration::from_millis(millis)));
        yard.publish(1, 1000);
        let claims = yard.turn()[&1];
        assert!(ahead.contains(&(claims - PER_ENDPOINT)), "{claims} claims of one that takes {millis} ms");
        assert!(claims <= PER_ENDPOINT * MOST_FOR_A_PLACE);
        assert_eq!(yard.launch().len(), PER_ENDPOINT, "of which so many begin");
    }
    let mut yard = Yard::new(1);
    yard.publish(1, 1000);
    assert_eq!(yard.turn(), [(1, 1)].into(), "a new one has to show first how it answers");
}

#[test]
fn an_endpoint_that_becomes_slow_has_nothing_ahead_any_more() {
    let mut yard = Yard::new(1);
    yard.attempts(1, 30, FAST);
    yard.attempts(1, 10, Ended::Well(Duration::from_millis(100)));
    yard.publish(1, 1000);
    assert_eq!(yard.turn()[&1], PER_ENDPOINT);
}

#[test]
fn an_endpoint_that_fails_holds_one_place_until_it_succeeds() {
    let mut yard = Yard::new(1);
    yard.attempts(1, 30, FAST);
    yard.attempts(1, 1, Ended::Failed);
    yard.publish(1, 1000);
    assert_eq!(yard.turn()[&1], 1, "however fast it refuses");
    for (ended, more) in [(Ended::Unknown, false), (Ended::Failed, false), (FAST, true)] {
        let claim = yard.launch().pop().expect("it begins");
        assert_eq!(yard.end(&claim, ended), None, "it is not on probation");
        yard.lanes.written(1);
        yard.turn();
        assert_eq!(yard.lanes.busy() > 1, more, "{ended:?}");
    }
}

#[test]
fn whoever_is_fast_finds_a_place_however_many_hold_theirs_for_long() {
    const SLOWLY: Ended = Ended::Well(Duration::from_millis(1_001));
    let (most, with_new) = (IN_FLIGHT * 3 / 4, IN_FLIGHT * 7 / 8);
    for (shown, most) in [(Some(SLOWLY), most), (Some(Ended::Failed), most), (None, with_new)] {
        let mut yard = Yard::new(2 * IN_FLIGHT + 1);
        let (fast, rest) = (yard.keys()[0], yard.keys()[1..].to_vec());
        yard.attempts(fast, 30, FAST);
        for endpoint in rest {
            shown.into_iter().for_each(|shown| yard.attempts(endpoint, 1, shown));
            yard.publish(endpoint, 100);
        }
        let served: usize = yard.turn().into_values().sum();
        assert_eq!((served, yard.launch().len()), (most, most), "{shown:?}");
        assert!(yard.turn().is_empty());
        yard.publish(fast, 100);
        assert!(yard.turn()[&fast] >= IN_FLIGHT - most, "after {shown:?}: at once");
        assert_eq!(yard.launch().len(), IN_FLIGHT - most);
    }
}

#[test]
fn a_new_endpoint_has_its_first_attempt_however_many_hold_their_places_for_long() {
    for shown in [Ended::Well(Duration::from_millis(1_001)), Ended::Failed] {
        let mut yard = Yard::new(2 * IN_FLIGHT + 1);
        let (new, rest) = (yard.keys()[0], yard.keys()[1..].to_vec());
        for endpoint in rest {
            yard.attempts(endpoint, 1, shown);
            yard.publish(endpoint, 100);
        }
        yard.turn();
        yard.launch();
        yard.publish(new, 100);
        assert_eq!(yard.turn(), [(new, 1)].into(), "{shown:?}");
        assert_eq!(yard.launch().len(), 1);
    }
}

#[test]
fn large_bodies_are_never_claimed_ahead() {
    let mut yard = Yard::new(1);
    yard.attempts(1, 30, FAST);
    yard.body = SMALL + 1;
    yard.attempts(1, 1, FAST);
    yard.publish(1, 1000);
    assert_eq!(yard.turn()[&1], PER_ENDPOINT);
    for claim in yard.launch() {
        yard.end(&claim, FAST);
        yard.lanes.written(1);
    }
    yard.body = 2;
    yard.attempts(1, 30, FAST);
    yard.publish(1, 1000);
    assert!(yard.turn()[&1] > PER_ENDPOINT, "they are forgotten in time");
}

#[test]
fn claims_ahead_are_bounded_in_all_and_shared_evenly() {
    let limits = Limits { in_flight: 64, per_endpoint: PER_ENDPOINT, at_work: usize::MAX };
    let mut yard = Yard::with(10, limits);
    for endpoint in yard.keys() {
        yard.attempts(endpoint, 40, FAST);
        yard.publish(endpoint, 1000);
    }
    let served = yard.turn();
    assert_eq!(served, yard.keys().into_iter().map(|key| (key, PER_ENDPOINT + MOST_AHEAD_IN_ALL / 10)).collect());
    yard.turn();
    assert!(yard.lanes.busy() <= 10 * PER_ENDPOINT + MOST_AHEAD_IN_ALL);
    assert_eq!(yard.launch().len(), 10 * PER_ENDPOINT);
}

#[test]
fn nothing_is_claimed_ahead_where_a_place_is_missing() {
    let mut yard = Yard::new(5);
    for endpoint in yard.keys() {
        yard.attempts(endpoint, 30, FAST);
        yard.publish(endpoint, 1000);
    }
    // Sixteen places for five that may have four each: whoever has fewer has nothing ahead either.
    let mut served: Vec<usize> = yard.turn().into_values().collect();
    served.sort_unstable();
    assert_eq!(served[..4], [3, 3, 3, 3]);
    assert!(served[4] > PER_ENDPOINT);
    assert_eq!(yard.launch().len(), IN_FLIGHT);
}

#[test]
fn whoever_has_a_place_to_fill_is_served_however_many_want_claims_ahead() {
    let limits = Limits { in_flight: 64, per_endpoint: 1, at_work: usize::MAX };
    let mut yard = Yard::with(33, limits);
    let (fast, [late]) = (yard.keys()[..32].to_vec(), [yard.keys()[32]]);
    for endpoint in fast {
        yard.attempts(endpoint, 40, FAST);
        yard.publish(endpoint, 1000);
    }
    yard.turn();
    assert_eq!(yard.lanes.busy(), 32 + MOST_AHEAD_IN_ALL, "all that may be claimed ahead is");
    yard.now = yard.now + Duration::from_millis(1);
    yard.publish(late, 1);
    assert_eq!(yard.turn().get(&late), Some(&1), "half of the places are free");
}

#[test]
fn whoever_has_waited_longest_is_served_first_and_then_goes_to_the_back() {
    let limits = Limits { in_flight: 1, per_endpoint: 1, at_work: usize::MAX };
    let mut yard = Yard::with(3, limits);
    let mut order = Vec::new();
    for endpoint in [2, 3, 1] {
        yard.publish(endpoint, 10);
        yard.now = yard.now + Duration::from_millis(1);
    }
    for _ in 0..6 {
        order.extend(yard.turn().into_keys());
        let claim = yard.launch().pop().expect("it begins");
        yard.end(&claim, FAST);
        yard.lanes.written(1);
        yard.now = yard.now + Duration::from_millis(1);
    }
    assert_eq!(order, [2, 3, 1, 2, 3, 1]);
}

#[test]
fn what_is_in_hand_begins_endpoint_by_endpoint() {
    let mut yard = Yard::new(3);
    for endpoint in yard.keys() {
        yard.attempts(endpoint, 1, FAST);
        yard.publish(endpoint, 3);
    }
    yard.turn();
    let begun: Vec<EndpointKey> = yard.launch().iter().map(|claim| claim.target.key).collect();
    assert_eq!(begun, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
}

#[test]
fn what_is_not_written_yet_counts_as_under_way() {
    let mut yard = Yard::with(1, Limits { in_flight: 2, per_endpoint: 2, at_work: usize::MAX });
    yard.attempts(1, 30, FAST);
    yard.publish(1, 10);
    yard.turn();
    let begun = yard.launch();
    assert_eq!(begun.len(), 2);
    begun.iter().for_each(|claim| assert_eq!(yard.end(claim, FAST), None));
    assert_eq!(yard.launch().len(), 0, "a crash would make these again");
    yard.lanes.written(1);
    assert_eq!(yard.launch().len(), 1);
    yard.lanes.written(1);
    assert_eq!(yard.launch().len(), 1);
}

#[test]
fn what_is_in_hand_for_an_endpoint_that_times_out_is_given_back() {
    let mut yard = Yard::new(2);
    for endpoint in yard.keys() {
        yard.attempts(endpoint, 30, FAST);
        yard.publish(endpoint, 10);
    }
    yard.turn();
    let begun = yard.launch();
    assert!(yard.lanes.overdue().is_empty(), "all are fast so far");
    let slow = begun.iter().find(|claim| claim.target.key == 1).expect("one of the first");
    assert_eq!(yard.end(slow, Ended::TimedOut), Some(true), "it goes on probation");
    let back = yard.lanes.overdue();
    assert_eq!(back.len(), 6, "ten, less four that began");
    assert!(back.iter().all(|claim| claim.target.key == 1));
    assert_eq!(yard.lanes.busy(), 20, "which counts until it is written");
    yard.lanes.written(1 + back.len());
    yard.publish(1, 7);
    assert_eq!(yard.turn().get(&1), None, "three are under way, and one place is what it has");
    for claim in begun.iter().filter(|claim| claim.target.key == 1).skip(1) {
        yard.end(claim, Ended::TimedOut);
        yard.lanes.written(1);
    }
    assert_eq!(yard.turn().get(&1), Some(&1));
    let again = yard.launch().into_iter().find(|claim| claim.target.key == 1).expect("it begins");
    assert_eq!(yard.end(&again, FAST), Some(false), "it is off probation");
    assert!(yard.turn()[&1] >= PER_ENDPOINT);
}

#[test]
fn those_on_probation_never_fill_more_than_half_of_the_places_whatever_was_in_hand() {
    let mut yard = Yard::new(IN_FLIGHT);
    for endpoint in yard.keys() {
        yard.attempts(endpoint, 30, FAST);
    }
    for endpoint in yard.keys() {
        for _ in 0..3 {
            let claim = yard.claim(endpoint);
            yard.lanes.take_in_hand(claim);
        }
    }
    let begun = yard.launch();
    assert_eq!(begun.len(), IN_FLIGHT, "one of each is under way, two are in hand");
    begun.iter().for_each(|claim| _ = yard.end(claim, Ended::TimedOut));
    yard.lanes.written(IN_FLIGHT);
    assert_eq!(yard.launch().len(), IN_FLIGHT / 2);
    let back = yard.lanes.overdue().len();
    yard.lanes.written(back);
    for endpoint in yard.keys() {
        yard.publish(endpoint, 3);
    }
    assert!(yard.turn().is_empty(), "the half is full");
}

#[test]
fn closing_gives_back_what_is_in_hand_and_begins_and_wants_nothing_more() {
    let mut yard = Yard::new(1);
    yard.attempts(1, 30, FAST);
    yard.publish(1, 100);
    let claims = yard.turn()[&1];
    assert_eq!(yard.launch().len(), PER_ENDPOINT);
    yard.lanes.close();
    assert_eq!(yard.lanes.overdue().len(), claims - PER_ENDPOINT);
    yard.publish(1, 1);
    let claim = yard.claim(1);
    yard.lanes.take_in_hand(claim);
    assert!(yard.launch().is_empty() && yard.turn().is_empty() && !yard.lanes.is_pressed());
    assert_eq!(yard.lanes.overdue().len(), 1, "what came late is given back too");
    assert_eq!(yard.lanes.room(yard.now).0, 0);
    assert_eq!(yard.lanes.flying(), PER_ENDPOINT, "what is under way may end");
}

#[test]
fn new_deliveries_find_room_only_where_nothing_older_waits_and_nobody_is_on_probation() {
    let mut yard = Yard::new(3);
    let [proven, new, suspect] = [1, 2, 3];
    yard.attempts(proven, 30, FAST);
    yard.attempts(suspect, 30, FAST);
    yard.attempts(suspect, 1, Ended::TimedOut);
    yard.attempts(new, 1, Ended::Unknown);
    let room = yard.room();
    assert!(room[&proven] > PER_ENDPOINT, "so many as it may hold");
    assert_eq!((room[&new], room[&suspect]), (1, 0));
    assert!(yard.room().is_empty(), "who has not changed has what it had");
    yard.lanes.due(proven, yard.now + Duration::from_secs(1));
    assert!(yard.room()[&proven] > PER_ENDPOINT, "what is due later does not wait yet");
    yard.publish(proven, 1000);
    assert_eq!(yard.room()[&proven], 0, "an older one waits");
    yard.turn();
    yard.launch();
    assert_eq!(yard.room()[&proven], 0, "it holds all it may");
    let claim = yard.claim(new);
    yard.lanes.take_in_hand(claim);
    assert_eq!(yard.room()[&new], 0);
}

#[test]
fn so_many_attempts_are_at_work_at_once_and_those_that_wait_for_their_receiver_are_not() {
    let mut yard = Yard::with(1, Limits { in_flight: IN_FLIGHT, per_endpoint: PER_ENDPOINT, at_work: 1 });
    let claim = yard.claim(1);
    yard.lanes.take_in_hand(claim);
    let first = yard.lanes.begin().expect("it begins");
    yard.end(&first, FAST);
    assert!(!yard.lanes.is_pressed(), "nothing is in hand");
    for _ in 0..2 {
        let claim = yard.claim(1);
        yard.lanes.take_in_hand(claim);
    }
    let watch = Stopwatch::start();
    yard.lanes.begin().expect("it begins");
    while yard.lanes.begin().is_none() {
        // The story may be held up between the two questions.
        assert!(yard.lanes.is_pressed() || watch.elapsed() >= AT_WORK, "it waits for the first alone");
    }
    assert!(watch.elapsed() >= AT_WORK, "until that is no longer at work");
    assert!(!yard.lanes.is_pressed());
    let mut still = Yard::with(1, Limits { in_flight: 1, per_endpoint: 1, at_work: 0 });
    let claim = still.claim(1);
    still.lanes.take_in_hand(claim);
    assert!(still.lanes.begin().is_none() && still.lanes.is_pressed());
}

#[test]
fn an_attempt_that_is_lost_frees_its_place_and_counts_for_nothing_when_it_ends_after_all() {
    let mut yard = Yard::with(1, Limits { in_flight: 1, per_endpoint: 1, at_work: usize::MAX });
    yard.publish(1, 1);
    yard.turn();
    let lost = yard.launch().pop().expect("it begins");
    assert!(yard.lanes.lost(Duration::from_secs(3600)).is_empty());
    assert_eq!(yard.lanes.lost(Duration::ZERO), [lost.key]);
    assert_eq!((yard.lanes.flying(), yard.lanes.busy()), (0, 1), "it is given back in the next turn");
    yard.lanes.written(1);
    let again = Claim { key: lost.key, attempt: lost.attempt + 1, ..yard.claim(1) };
    yard.lanes.take_in_hand(again);
    let again = yard.launch().pop().expect("it begins");
    assert_eq!(yard.lanes.ended(lost.owner(), Ended::TimedOut), None);
    assert_eq!(yard.end(&again, FAST), None, "nobody went on probation");
}

#[test]
fn lanes_at_rest_are_forgotten_in_time_but_not_who_is_on_probation() {
    let mut yard = Yard::new(2);
    yard.attempts(1, 1, Ended::TimedOut);
    yard.attempts(2, 1, FAST);
    assert_eq!(yard.room(), [(1, 0), (2, PER_ENDPOINT)].into());
    for endpoint in 3..5000 {
        yard.lanes.due(endpoint, yard.now);
        yard.lanes.served(Claimed::nothing(endpoint, None), yard.now);
    }
    assert_eq!(yard.room().get(&2), Some(&0), "it has to show again how it answers");
    let claim = yard.claim(1);
    yard.lanes.take_in_hand(claim);
    let claim = yard.launch().pop().expect("it begins");
    assert_eq!(yard.end(&claim, FAST), Some(false), "it is off probation");
}
