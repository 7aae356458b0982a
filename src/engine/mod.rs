//! The engine: it works without being asked. Its rounds settle ended attempts and claim due deliveries; sending threads
//! make the attempts.

mod ages;
mod alert_log;
pub mod alerts;
mod answer_head;
mod attempt;
pub mod backups;
mod caretaker;
mod channels;
mod dial;
mod egress;
mod embedded;
mod failure;
mod hand;
mod in_flight;
mod lane;
pub mod lanes;
mod line;
mod look_ups;
mod mail;
mod mail_stream;
mod notices;
mod offer;
mod pace;
mod pool;
mod poster;
mod progress;
pub mod recoveries;
pub mod retention;
mod reuse;
pub mod room;
mod rounds;
mod run;
mod sender;
mod small_steps;
mod stats;
mod stray_alerts;
mod test_delivery;
mod tls;
mod transport;
pub mod try_channels;
mod window;

pub use self::{
    caretaker::Caretaker,
    egress::Guard,
    in_flight::{EndedClaim, InFlight},
    look_ups::{LookUp, LookUps, Unresolved, system_look_up},
    rounds::{EngineStatus, Handlers, Round, Rounds},
    run::{Engine, check},
    sender::kept_connections,
    tls::authorities,
};
