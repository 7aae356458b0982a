//! The offer of a round to the lanes: free places and claims ahead of them.

use std::collections::HashMap;

use super::lane::{Crowd, Lane, Limits, Order};
use crate::domain::{account::AccountKey, endpoint::EndpointKey, timestamp::Timestamp};

/// How an offer is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shares {
    /// Places only, and to an account no more than its half.
    ByAccount,
    /// The remaining places.
    ByWebhook,
}

/// See the head of this file. It shrinks as it is shared out.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    /// Free places.
    pub(super) free: usize,
    /// Claims ahead of free places.
    pub(super) ahead: usize,
    /// Those of them that lanes which hold nothing may have.
    pub(super) soon: usize,
    /// The places of endpoints that do not answer at once.
    pub(super) crowd: Crowd,
    /// Claims that endpoints on probation may have.
    pub(super) suspects: usize,
    /// The places of each account.
    pub(super) of_account: HashMap<AccountKey, usize>,
    /// Whether a lane lacks a place.
    pub(super) one_waits: bool,
}

impl Offer {
    /// Adds to the quotas of these lanes. The lanes that hold least come first: busy ones may hold every place, and
    /// everything that may be claimed ahead.
    pub(super) fn share_out(&mut self, lanes: &[(EndpointKey, &Lane)], quotas: &mut [usize], shares: Shares) {
        let mut wanting: Vec<_> = lanes.iter().map(|(_, lane)| *lane).zip(quotas).collect();
        let mut level = 0;
        while !wanting.is_empty() && self.free + self.ahead > 0 {
            wanting.retain_mut(|(lane, quota)| {
                if lane.held() + **quota > level {
                    return true;
                }
                let gets = self.give(lane, **quota, shares);
                **quota += usize::from(gets);
                gets
            });
            level += 1;
        }
    }

    /// Whether the lane gets one more beside this quota. If not, it gets none later either.
    fn give(&mut self, lane: &Lane, quota: usize, shares: Shares) -> bool {
        let (held, most, places) = (lane.held() + quota, lane.most(self.limits), lane.places(self.limits));
        if held >= most
            || quota >= lane.allowed(self.now)
            || !lane.may_start(self.limits, self.crowd, self.suspects > 0)
        {
            return false;
        }
        let wants_place = held < places;
        if shares == Shares::ByAccount && (!wants_place || self.has_half(lane)) {
            return false;
        }
        if wants_place && self.free > 0 {
            self.free -= 1;
        } else if self.ahead > 0 && (most > places && !self.one_waits || held == 0 && self.soon > 0) {
            self.ahead -= 1;
        } else {
            // Nothing more is claimed ahead where a place is missing.
            self.one_waits |= wants_place;
            return false;
        }
        self.suspects -= usize::from(lane.on_probation());
        if wants_place {
            self.take_place(lane);
        }
        true
    }

    /// Whether the account of this lane has its half of the places.
    fn has_half(&self, lane: &Lane) -> bool {
        let of_account = lane.account.and_then(|account| self.of_account.get(&account));
        of_account.is_some_and(|places| *places >= self.limits.of_account())
    }

    fn take_place(&mut self, lane: &Lane) {
        match lane.order() {
            Order::Fast => {}
            Order::Far => self.crowd.far += 1,
            Order::New | Order::Slow | Order::Probation => self.crowd.slow += 1,
        }
        if let Some(account) = lane.account {
            *self.of_account.entry(account).or_default() += 1;
        }
    }
}
