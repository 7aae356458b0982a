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
mod rounds;
mod run;
mod sender;
mod stats;
mod test_delivery;

pub use self::{
    egress::Guard,
    in_flight::{EndedClaim, InFlight},
    look_ups::{LookUp, LookUps, Unresolved, system_look_up},
    rounds::{EngineStatus, Handlers, Round, Rounds},
    run::{Engine, check},
    sender::{authorities, kept_connections},
};
