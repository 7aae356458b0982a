//! Stories in the users' words, on a real file and real sockets, with a clock that is moved by hand.

#![expect(clippy::expect_used, clippy::panic, reason = "a story that goes wrong must stop")]
#![expect(unreachable_pub, reason = "one binary: its modules share freely")]

mod alerts;
mod asg;
mod asilichain;
mod bad_input;
mod children;
mod cli;
mod clock;
mod contract;
mod crash;
mod damage;
mod disk;
mod docs;
mod durability;
mod faults;
mod flaky;
mod json;
mod model;
mod opening;
mod others;
mod payloads;
mod program;
mod queue;
mod receiver;
mod restart;
mod schema;
mod sending;
mod settlement;
mod site;
mod tidy;
mod webhooks;
mod world;
