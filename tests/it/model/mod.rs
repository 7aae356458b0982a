//! The queue and the lanes beside a plain model of them: no server, no sockets, hundreds of steps in milliseconds.

pub mod engine;
pub mod lane_harness;
pub mod lane_rules;
pub mod lanes;
pub mod machine;
pub mod settlement;
pub mod states;
pub mod steps;
pub mod writes;
