//! The dashboard: its pages, forms and sessions, also in a real browser.

mod chromium;
mod docs;
mod ended_sessions;
mod forms;
mod lists;
mod pages;
mod recoveries;
mod sessions;
mod system;
