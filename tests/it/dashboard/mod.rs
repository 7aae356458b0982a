//! The dashboard: its pages, forms and sessions, also in a real browser.

mod accounts;
mod backups;
mod chromium;
mod delivery_list;
mod delivery_page;
mod docs;
mod ended_sessions;
mod forms;
mod lists;
mod nine_tasks;
mod overview;
mod pages;
mod recoveries;
mod search;
mod sessions;
mod sign_in_links;
mod signature_check;
mod system;
mod times;
mod webhook_page;
mod words;
