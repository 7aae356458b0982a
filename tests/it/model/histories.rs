//! Histories: random steps that store, engine and a plain model take side by side, and after which they must agree.
//!
//! The engine's own rounds are driven by hand, without doors, threads or sockets: so a history of hundreds of
//! steps takes milliseconds.

use ngoma::config::SuspendWhen;
use proptest::prelude::*;

use crate::model::{
    machine::Machine,
    states::WAITS,
    steps::{Beside, HOUR, Reaction, Step, step},
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        // A failing history is printed; a file beside the sources would say no more.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn after_any_history_every_delivery_is_in_the_state_of_the_table(
        history in prop::collection::vec(step(), 1..300),
        only_dead in any::<bool>(),
    ) {
        let mut machine = Machine::with(if only_dead { SuspendWhen::Dead } else { SuspendWhen::Any });
        for step in &history {
            machine.take(step);
            machine.agree(step);
        }
        machine.comes_to_rest();
        machine.shows_the_same();
    }
}

#[test]
fn an_endpoint_that_never_answers_is_tried_as_often_as_its_page_says_and_no_more() {
    for (vendor, waits) in WAITS.iter().enumerate() {
        let mut machine = Machine::new();
        machine.take(&Step::Publish { vendor, large: false });
        for wait in waits.iter().copied().chain([0]) {
            machine.take(&Step::Turn(Beside::Nothing));
            assert_eq!(machine.under_way(), 1, "it is tried when it is due");
            machine.take(&Step::End { which: 0, reaction: Reaction::TimesOut, took: 10_000 });
            machine.take(&Step::Turn(Beside::Nothing));
            machine.take(&Step::Advance((wait - 1).max(0)));
            machine.take(&Step::Turn(Beside::Nothing));
            assert_eq!(machine.under_way(), 0, "and not before");
            machine.take(&Step::Advance(1));
            machine.agree(&"a wait has passed");
        }
        machine.take(&Step::Advance(HOUR * 24));
        machine.take(&Step::Poll);
        assert_eq!(machine.under_way(), 0, "no try is left");
    }
}
