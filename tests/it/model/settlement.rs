//! The table of states, row by row: where a claimed delivery goes when its attempt has ended.

use std::time::Duration;

use ngoma::domain::{
    delivery::{Answer, Failure, Meanwhile, Outcome, Settlement, interrupt, settle},
    endpoint::{EndpointState, SuspendedReason},
    profile::{RetryPolicy, WhenExhausted},
    timestamp::Timestamp,
};

use crate::support::world::START;

const STATES: [EndpointState; 3] = [EndpointState::Active, EndpointState::Suspended, EndpointState::Deleted];
/// The try after which AsiliChain's schedule has none left.
const LAST: u32 = 5;
const STAY: (WhenExhausted, Meanwhile) = (WhenExhausted::StayActive, Meanwhile::Nothing);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered(Answer { status, body: Vec::new(), truncated: false, retry_after: None })
}

fn asked(status: u16, wait: u64) -> Outcome {
    let retry_after = Some(seconds(wait));
    Outcome::Answered(Answer { status, body: Vec::new(), truncated: false, retry_after })
}

/// The decision by AsiliChain's schedule.
fn decide(outcome: &Outcome, tries: u32, endpoint: EndpointState) -> Settlement {
    let suspend = (WhenExhausted::Suspend, Meanwhile::Delivered);
    settle(outcome, tries, endpoint, &policy(LAST, &[30, 300, 1800, 7200]), suspend, START)
}

fn policy(max_attempts: u32, waits: &[u64]) -> RetryPolicy {
    RetryPolicy { max_attempts, waits: waits.iter().copied().map(seconds).collect() }
}

fn after(wait: u64) -> Settlement {
    Settlement::Retry(START + seconds(wait))
}

#[test]
fn any_2xx_delivers_even_if_the_endpoint_was_suspended_or_deleted_meanwhile() {
    for status in [200, 201, 202, 204, 226, 299] {
        for endpoint in STATES {
            assert_eq!(decide(&answered(status), 1, endpoint), Settlement::Delivered, "{status}, {endpoint:?}");
            assert_eq!(decide(&answered(status), LAST, endpoint), Settlement::Delivered, "{status}, {endpoint:?}");
        }
    }
}

#[test]
fn anything_else_is_tried_again_after_the_wait_of_that_try() {
    let failures = Failure::ALL.into_iter().filter(|failure| *failure != Failure::Damaged);
    let every_failure = failures.map(Outcome::Failed);
    let every_status = [100, 199, 300, 301, 308, 400, 401, 404, 409, 429, 500, 503, 599].map(answered);
    for outcome in every_failure.chain(every_status) {
        for (tries, wait) in [(1, 30), (2, 300), (3, 1800), (4, 7200)] {
            assert_eq!(decide(&outcome, tries, EndpointState::Active), after(wait), "{outcome:?}, try {tries}");
        }
    }
}

#[test]
fn the_last_wait_is_repeated_when_more_attempts_are_allowed_than_waits_are_named() {
    let policy = policy(6, &[1, 4, 16]);
    let waits = (1..=6).map(|tries| policy.wait_after(tries));
    assert_eq!(
        waits.collect::<Vec<_>>(),
        [Some(1), Some(4), Some(16), Some(16), Some(16), None].map(|wait| wait.map(seconds))
    );
}

#[test]
fn the_last_failure_exhausts_and_suspends_where_the_vendor_says_so() {
    let exhausted = Settlement::Exhausted(Some(SuspendedReason::Exhausted));
    for outcome in [answered(500), Outcome::Failed(Failure::Timeout)] {
        assert_eq!(decide(&outcome, LAST, EndpointState::Active), exhausted);
        let stays = settle(&outcome, 3, EndpointState::Active, &policy(3, &[1, 4]), STAY, START);
        assert_eq!(stays, Settlement::Exhausted(None));
    }
}

/// The decision by AsiliChain's schedule, when only a dead receiver is suspended.
fn decide_if_dead(outcome: &Outcome, tries: u32, endpoint: EndpointState, meanwhile: Meanwhile) -> Settlement {
    let suspend = (WhenExhausted::SuspendIfDead, meanwhile);
    settle(outcome, tries, endpoint, &policy(LAST, &[30, 300, 1800, 7200]), suspend, START)
}

#[test]
fn where_only_a_dead_receiver_is_suspended_the_last_failure_suspends_if_nothing_was_delivered_meanwhile() {
    for outcome in [answered(413), answered(500), Outcome::Failed(Failure::Timeout)] {
        let of = |endpoint, meanwhile| decide_if_dead(&outcome, LAST, endpoint, meanwhile);
        let dead = Settlement::Exhausted(Some(SuspendedReason::Dead));
        assert_eq!(of(EndpointState::Active, Meanwhile::Nothing), dead, "{outcome:?}");
        assert_eq!(of(EndpointState::Active, Meanwhile::Delivered), Settlement::Exhausted(None), "{outcome:?}");
        for endpoint in [EndpointState::Suspended, EndpointState::Deleted] {
            assert_eq!(of(endpoint, Meanwhile::Nothing), Settlement::Exhausted(None), "{outcome:?}, {endpoint:?}");
        }
        for meanwhile in [Meanwhile::Nothing, Meanwhile::Delivered] {
            let decided = decide_if_dead(&outcome, 1, EndpointState::Active, meanwhile);
            assert_eq!(decided, after(30), "with tries left nothing is given up");
        }
    }
}

#[test]
fn a_410_says_itself_that_the_endpoint_is_gone_whatever_was_delivered_meanwhile() {
    let gone = Settlement::Exhausted(Some(SuspendedReason::Gone));
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Delivered] {
        assert_eq!(decide_if_dead(&answered(410), 1, EndpointState::Active, meanwhile), gone);
        let damaged = decide_if_dead(&Outcome::Failed(Failure::Damaged), 1, EndpointState::Active, meanwhile);
        assert_eq!(damaged, Settlement::Exhausted(None), "our own fault");
    }
}

#[test]
fn a_410_exhausts_at_once_and_says_that_the_endpoint_is_gone() {
    for tries in 1..=LAST {
        let gone = Settlement::Exhausted(Some(SuspendedReason::Gone));
        assert_eq!(decide(&answered(410), tries, EndpointState::Active), gone, "try {tries}");
    }
    let stays = settle(&answered(410), 1, EndpointState::Active, &policy(3, &[1]), STAY, START);
    assert_eq!(stays, Settlement::Exhausted(None));
}

#[test]
fn a_damaged_body_exhausts_at_once_and_suspends_nobody() {
    for (tries, endpoint) in [1, LAST].into_iter().flat_map(|tries| STATES.map(|endpoint| (tries, endpoint))) {
        let decided = decide(&Outcome::Failed(Failure::Damaged), tries, endpoint);
        assert_eq!(decided, Settlement::Exhausted(None), "{endpoint:?}, try {tries}");
    }
}

#[test]
fn an_endpoint_that_is_suspended_or_deleted_already_is_not_suspended_again() {
    for endpoint in [EndpointState::Suspended, EndpointState::Deleted] {
        assert_eq!(decide(&answered(500), LAST, endpoint), Settlement::Exhausted(None), "{endpoint:?}");
        assert_eq!(decide(&answered(410), 1, endpoint), Settlement::Exhausted(None), "{endpoint:?}");
    }
}

#[test]
fn a_failure_with_tries_left_is_held_if_the_endpoint_was_suspended_meanwhile() {
    assert_eq!(decide(&answered(500), 1, EndpointState::Suspended), Settlement::Held);
    assert_eq!(decide(&asked(503, 9), 4, EndpointState::Suspended), Settlement::Held);
}

#[test]
fn a_failure_with_tries_left_is_cancelled_if_the_endpoint_was_deleted_meanwhile() {
    assert_eq!(decide(&answered(500), 1, EndpointState::Deleted), Settlement::Cancelled);
    assert_eq!(decide(&Outcome::Failed(Failure::Reset), 4, EndpointState::Deleted), Settlement::Cancelled);
}

#[test]
fn retry_after_lengthens_a_wait_never_shortens_it_and_counts_for_one_hour_at_most() {
    for (tries, asks, wait) in
        [(1, 0, 30), (1, 29, 30), (1, 31, 31), (1, 3600, 3600), (1, 86_400, 3600), (4, 3600, 7200)]
    {
        let decided = decide(&asked(503, asks), tries, EndpointState::Active);
        assert_eq!(decided, after(wait), "asks for {asks} s after try {tries}");
    }
    let never_ends =
        Outcome::Answered(Answer { status: 429, body: Vec::new(), truncated: false, retry_after: Some(Duration::MAX) });
    assert_eq!(decide(&never_ends, 1, EndpointState::Active), after(3600));
}

#[test]
fn retry_after_makes_no_try_more() {
    let exhausted = Settlement::Exhausted(Some(SuspendedReason::Exhausted));
    assert_eq!(decide(&asked(503, 60), LAST, EndpointState::Active), exhausted);
}

#[test]
fn an_interrupted_attempt_is_made_again_at_once_if_its_endpoint_still_wants_it() {
    assert_eq!(interrupt(EndpointState::Active, START), Settlement::Retry(START));
    assert_eq!(interrupt(EndpointState::Suspended, START), Settlement::Held);
    assert_eq!(interrupt(EndpointState::Deleted, START), Settlement::Cancelled);
}

#[test]
fn every_moment_can_be_waited_from() {
    let end_of_time = Timestamp::from_millis(i64::MAX);
    let settled = settle(&answered(500), 1, EndpointState::Active, &policy(3, &[1]), STAY, end_of_time);
    assert_eq!(settled, Settlement::Retry(end_of_time), "it does not wrap round into the past");
}
