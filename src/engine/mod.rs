//! What acts without being asked: the loop that settles what has ended, claims what is due, and has it sent.

pub mod alerts;
mod attempt;
mod egress;
mod in_flight;
mod lane;
pub mod lanes;
mod look_ups;
mod mail;
mod pool;
pub mod retention;
pub mod retries;
mod run;
mod sender;
mod stats;
mod test_delivery;

pub use self::{
    egress::Guard,
    look_ups::{LookUp, LookUps, Unresolved, system_look_up},
    run::{Engine, EngineStatus, check},
    sender::{authorities, kept_connections},
};
