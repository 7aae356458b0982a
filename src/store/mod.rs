//! The database: every line of SQL, and the only user of rusqlite and r2d2.
//!
//! Writes go through one thread (`writer`), reads through a small pool. Nothing here knows an HTTP status or a vendor.

pub mod accounts;
pub mod alerts;
pub mod answers;
pub mod attempts;
pub mod audit;
mod backup;
mod backup_age;
mod backup_files;
mod bodies;
pub mod candidates;
mod cascade;
pub mod channels;
mod check;
mod checksum;
mod claim;
mod clock_jumps;
mod convert;
mod db;
pub mod deliveries;
pub mod endpoint_settings;
pub mod endpoints;
pub mod erase;
pub mod event_list;
pub mod events;
pub mod exchange;
mod file_health;
mod files;
pub mod gathered_alerts;
mod gauges;
mod grants;
mod in_order;
mod key_mark;
mod keyring;
mod lock_file;
mod missed;
mod moments;
mod new_delivery;
mod news;
pub mod notices;
mod open;
pub mod operator_alerts;
mod outages;
pub mod overview;
pub mod own_headers;
pub mod queue;
mod range;
pub mod recoveries;
pub mod replays;
pub mod restore;
pub mod retention;
pub mod room;
mod scan;
mod schema;
mod schema_check;
pub mod search;
pub mod secrets;
mod served_files;
pub mod serving;
pub mod sessions;
mod shares;
pub mod sign_in_links;
pub mod since_backup;
pub mod stats;
mod targets;
mod tls_files;
pub mod tokens;
mod turns;
mod tx;
mod upgrade_copy;
mod usage;
pub mod webhook_stats;
pub mod webhooks;
mod write;
mod write_queue;
mod writer;

pub use self::{
    backup::{Made, Progress, backup, make_folder},
    backup_age::{OldBackup, old_backup},
    backup_files::{BackupFile, BackupFolder, BackupPart, backup_name, own_backup_name},
    bodies::{Bodies, Body, SMALL_BODY},
    check::{Found, check},
    claim::ClaimBudget,
    convert::Result,
    db::{Admission, Db, durability, limit_pages, probe},
    keyring::{KeyRing, random},
    news::{Change, News},
    open::{make_lost_key, open},
    targets::Target,
    tls_files::TlsFiles,
    tx::{Tx, View},
};
