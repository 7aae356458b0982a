//! Who may do what: access, addresses, limits on clients, bad input; and what stays secret.

pub mod access;
pub mod attack;
pub mod bad_input;
pub mod connections;
pub mod egress;
pub mod egress_blocks;
pub mod file_modes;
pub mod key_file;
pub mod leak_check;
pub mod limits;
pub mod masking;
pub mod parsers;
pub mod proxies;
pub mod request_heads;
pub mod revoked_meanwhile;
pub mod secrets;
pub mod secrets_in_memory;
pub mod terminal;
