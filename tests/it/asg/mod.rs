//! ASG's page: webhooks and tasks, as its customers use them.

mod manage;
mod recoveries;
mod stats;
mod tasks;
mod webhooks;
