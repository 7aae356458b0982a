//! The dashboard: its pages, forms and sessions, and people in a real browser.

pub mod chromium;
pub mod docs;
pub mod ended_sessions;
pub mod forms;
pub mod lists;
pub mod pages;
pub mod retry_runs;
pub mod sessions;
pub mod system;
