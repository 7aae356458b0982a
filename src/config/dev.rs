//! The settings of `ngoma serve --dev`: a server that somebody tries on this machine.

use std::time::Duration;

use ipnet::IpNet;

use super::Config;

/// Where such a server may deliver too: to this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

impl Config {
    /// Changes these settings into those of such a server: http:// and loopback targets are allowed, and it makes no
    /// backups by itself.
    pub fn become_dev(&mut self) {
        self.dev = true;
        self.egress.allow_http = true;
        self.backup.every = Duration::ZERO;
        self.egress.allow.extend(LOOPBACK.map(str::parse::<IpNet>).into_iter().flatten());
    }
}
