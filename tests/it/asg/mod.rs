//! ASG's page: tasks and webhooks as its customers use them.

pub mod tasks;
