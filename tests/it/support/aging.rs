//! Time that passes, and the retention that follows it.

use crate::support::{receiver::PATIENCE, world::World};

/// Waits until retention has removed the rows that are old by now.
#[track_caller]
pub fn pass(world: &World) {
    let (mut passes, now) = (world.passes(), world.now());
    let passed =
        async { tokio::time::timeout(PATIENCE, passes.wait_for(|at| *at == Some(now))).await.map(|at| at.is_ok()) };
    assert_eq!(world.block_on(passed).ok(), Some(true), "the pass ends");
}

/// Lets time pass, and waits until retention has followed.
#[track_caller]
pub fn age(world: &World, by: &str) {
    world.advance(by);
    pass(world);
}

/// Moves the clock on by minutes, until this is so: the server looks after itself once a minute.
#[track_caller]
pub fn until(world: &World, is_so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        world.advance("1m");
    }
    panic!("the server does not look after itself");
}
