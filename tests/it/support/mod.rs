//! Servers, clients, receivers, mail servers and files that stories use. No stories here.

pub mod accounts;
pub mod aging;
pub mod browser;
pub mod client;
pub mod database;
pub mod desk;
pub mod flaky_receiver;
pub mod held_request;
pub mod isolation;
pub mod lane_harness;
pub mod leaks;
pub mod mailbox;
pub mod measured_server;
pub mod operations;
pub mod other_programs;
pub mod payloads;
pub mod program;
pub mod raw_client;
pub mod raw_receiver;
pub mod receiver;
pub mod site;
pub mod small_disk;
pub mod source;
pub mod strace;
pub mod world;
pub mod writer;
