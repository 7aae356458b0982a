//! ASG's page: webhooks and tasks, as its customers use them.

mod stats;
mod tasks;
mod webhooks;
