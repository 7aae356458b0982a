//! The usage of accounts, as far as it is known in memory. The writer keeps it from one transaction to the next;
//! `shares` decides by it.

use std::{collections::HashMap, time::Duration};

use crate::{config::Limits, domain::account::AccountKey};

#[derive(Debug)]
pub(super) struct Usage {
    /// Most deliveries that wait; 0: no limit.
    pub(super) most_pending: u64,
    /// Most bytes of events; 0: no limit.
    pub(super) most_bytes: u64,
    pub(super) of: HashMap<AccountKey, AccountUsage>,
}

/// The usage of one account.
#[derive(Debug, Default)]
pub(super) struct AccountUsage {
    /// Deliveries that waited at the last count, and those made since.
    pub(super) waiting: u64,
    /// When they were counted, as uptime.
    pub(super) counted: Option<Duration>,
    /// Whether the operator was warned that the share is almost used up.
    pub(super) warned: bool,
}

impl Usage {
    /// Nothing is known yet; the limits are those of the settings.
    pub(super) fn new(limits: &Limits) -> Self {
        Self { most_pending: limits.pending_per_account, most_bytes: limits.bytes_per_account, of: HashMap::new() }
    }

    /// Accounts that the operator was warned of.
    pub(super) fn near_limit(&self) -> usize {
        self.of.values().filter(|used| used.warned).count()
    }
}
