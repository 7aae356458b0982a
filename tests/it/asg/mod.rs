//! ASG's page: webhooks and tasks, as its customers use them.

mod tasks;
mod webhooks;
