//! The built program and what comes with it: commands, settings, files, log, memory; contract, README and source.

pub mod cli;
pub mod contract;
pub mod descriptors;
pub mod environment;
pub mod generated;
pub mod log;
pub mod memory_of_bodies;
pub mod memory_of_floods;
pub mod own_folder;
pub mod owners;
pub mod panics;
pub mod readme;
pub mod recovery_commands;
pub mod request_log;
pub mod shell;
pub mod special_files;
pub mod supervisor;
pub mod tidy;
pub mod unit;
