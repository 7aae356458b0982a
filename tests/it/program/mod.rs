//! The built program and what comes with it: commands, settings, files, log, memory; contract, README and source.

mod circles;
mod cli;
mod contract;
mod contract_for_generators;
mod descriptors;
mod docker;
mod found;
mod generated;
mod guide;
mod log;
mod memory_of_bodies;
mod memory_of_floods;
mod messages;
mod other_generators;
mod own_folder;
mod owners;
mod panics;
pub mod readme;
mod recovery_commands;
mod request_log;
mod settings;
pub mod shell;
mod special_files;
mod supervisor;
mod tidy;
mod unit;
mod webhook_commands;
