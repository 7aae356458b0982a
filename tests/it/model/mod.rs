//! The queue and the lanes beside a plain model of them: no server, no sockets, hundreds of steps in milliseconds.

mod engine;
mod histories;
mod lane_record;
mod lane_rules;
mod lanes;
mod machine;
mod order;
mod pace;
mod places;
mod queue_of_many;
pub mod rows;
mod settlement;
mod states;
mod steps;
mod threads;
mod windows;
mod writes;
