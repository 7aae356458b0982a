//! The order in which prefetched claims begin: by turns among accounts, and among the webhooks of each.

use std::collections::{HashMap, VecDeque};

use crate::domain::{account::AccountKey, endpoint::EndpointKey};

/// The webhooks with prefetched claims, each once.
#[derive(Debug, Default)]
pub(super) struct Hand {
    accounts: VecDeque<AccountKey>,
    of: HashMap<AccountKey, VecDeque<EndpointKey>>,
}

impl Hand {
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub(super) fn push(&mut self, account: AccountKey, endpoint: EndpointKey) {
        let queue = self.of.entry(account).or_default();
        if queue.is_empty() {
            self.accounts.push_back(account);
        }
        queue.push_back(endpoint);
    }
}

impl Iterator for Hand {
    type Item = (AccountKey, EndpointKey);

    /// Takes the next webhook of the next account.
    fn next(&mut self) -> Option<Self::Item> {
        let account = self.accounts.pop_front()?;
        let queue = self.of.get_mut(&account)?;
        let endpoint = queue.pop_front()?;
        if queue.is_empty() {
            self.of.remove(&account);
        } else {
            self.accounts.push_back(account);
        }
        Some((account, endpoint))
    }
}
