//! Data on disk stays: kills, full disks, damage, backups, restores, upgrades. Old rows go.

mod backup;
mod backup_care;
mod check;
mod crash;
mod damage;
mod damaged_bodies;
mod exchanged;
mod full_disk;
mod group_commits;
mod litestream;
mod opening;
mod order_plans;
mod own_backups;
mod query_plans;
mod restart;
mod restore;
mod retention;
mod retention_notices;
mod room;
mod schema;
mod shared_folder;
mod syncs;
mod taken_away;
mod upgrade;
mod warm_copy;
