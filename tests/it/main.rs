//! Stories in the users' words, on a real file and real sockets, with a clock that is moved by hand.

#![expect(clippy::expect_used, clippy::panic, reason = "a story that goes wrong must stop")]
#![expect(unreachable_pub, reason = "one binary: its modules share freely")]

mod alerts;
mod asg;
mod asilichain;
mod attack;
mod backlog;
mod bad_input;
mod beast;
mod children;
mod cli;
mod clients;
mod clock;
mod contract;
mod crash;
mod damage;
mod disk;
mod docs;
mod durability;
mod egress;
mod egress_blocks;
mod faults;
mod files;
mod flaky;
mod fuzz;
mod history;
mod json;
mod leaks;
mod limits;
//mod model;
mod opening;
mod others;
mod payloads;
mod plans;
mod program;
//mod queue;
mod receiver;
mod restart;
mod schema;
mod secrets;
mod sending;
mod served;
mod settlement;
mod site;
mod tidy;
mod walls;
mod webhooks;
mod world;
mod zoo;
mod zoo_memory;
mod zoo_names;
mod zoo_tls;
