//! The engine: it works without being asked. Its rounds settle ended attempts and claim due deliveries; sending threads
//! make the attempts.

pub mod alerts;
mod attempt;
mod egress;
mod embedded;
mod failure;
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
