//! What is on disk stays: kills, full disks, damage, backups, restores, upgrades; and what has grown old goes.

pub mod backup;
pub mod check;
pub mod crash;
pub mod damage;
pub mod damaged_bodies;
pub mod full_disk;
pub mod group_commits;
pub mod opening;
pub mod query_plans;
pub mod restart;
pub mod retention;
pub mod retention_notices;
pub mod schema;
pub mod syncs;
pub mod taken_away;
pub mod upgrade;
pub mod warm_copy;
