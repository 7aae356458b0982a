//! Access, addresses, limits on clients, bad input, and secrets.

mod access;
mod attack;
mod bad_input;
mod behind_proxies;
mod connections;
mod egress;
mod egress_blocks;
mod expiring_tokens;
mod file_modes;
mod key_file;
mod leak_check;
mod limits;
mod masking;
mod own_tls;
mod own_tls_connections;
mod own_tls_watched;
mod parsers;
mod proxies;
mod refusals;
mod request_heads;
mod revoked_meanwhile;
mod secrets;
mod secrets_in_memory;
mod strict;
mod terminal;
mod urls;
