//! What stories stand on: a server in this process, the built program, clients, receivers, mail servers. No stories here.

pub mod accounts;
pub mod browser;
pub mod flaky_receiver;
pub mod leaks;
pub mod mailbox;
pub mod other_programs;
pub mod payloads;
pub mod program;
pub mod raw_receiver;
pub mod receiver;
pub mod served;
pub mod site;
pub mod world;
