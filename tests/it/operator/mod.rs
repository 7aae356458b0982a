//! What the operator sees and does: the overview, search, retry runs, alerts and mail, health, metrics, the audit.

pub mod alert_posts;
pub mod alerts;
pub mod audit;
pub mod erase;
pub mod health;
pub mod history;
pub mod mail;
pub mod mail_address;
pub mod mail_program;
pub mod metrics;
pub mod overview;
pub mod retry_runs;
pub mod search;
