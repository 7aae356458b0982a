//! The operator's work: the overview, search, recoveries, alerts and mail, health, metrics, the audit.

mod alert_posts;
mod alerts;
mod audit;
mod beside_dev;
mod channel_secrets;
mod channels;
mod erase;
mod gathered_alerts;
mod health;
mod heartbeat;
mod history;
mod mail;
mod mail_address;
mod mail_program;
mod mail_words;
mod metrics;
mod notices;
mod operator_alerts;
mod overview;
mod own_network;
mod payload_search;
mod recoveries;
mod replays;
mod search;
mod stray_alerts;
mod watching;
