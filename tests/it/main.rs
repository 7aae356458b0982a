//! Stories in the users' words, on a real file and real sockets, with a clock that is moved by hand.

#![expect(clippy::expect_used, clippy::panic, reason = "a story that goes wrong must stop")]
#![expect(unreachable_pub, reason = "one binary: its modules share freely")]

mod asg;
mod asilichain;
mod dashboard;
mod delivery;
mod durability;
mod model;
mod operator;
mod program;
mod security;
mod support;
