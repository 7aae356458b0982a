//! A transaction of the writer, and a view of a reading connection: what every verb of the store is given.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::Mutex,
    time::Duration,
};

use rusqlite::Connection;

use super::{
    claim::{ClaimBudget, Claimed},
    keyring::KeyRing,
    news::{Change, News},
    targets::Targets,
    usage::Usage,
};
use crate::domain::{account::AccountKey, audit::Actor, endpoint::EndpointKey, timestamp::Timestamp};

/// A transaction is a moment: all that is written in it happens at `now`.
#[derive(Debug)]
pub struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) conn: &'a Connection,
    /// The moment of the transaction.
    pub now: Timestamp,
    pub(super) keys: &'a KeyRing,
    /// A connection that only reads what is committed.
    pub(super) inline_reader: &'a Mutex<Connection>,
    pub(super) targets: &'a RefCell<Targets>,
    pub(super) claim_budget: &'a ClaimBudget,
    pub(super) news: RefCell<News>,
    /// The machine's uptime, which never steps.
    pub(super) uptime: Duration,
    pub(super) usage: &'a RefCell<Usage>,
    /// Bytes of events that accounts have stored or removed, not yet written to their rows.
    pub(super) stored: RefCell<Vec<(AccountKey, i64)>>,
    /// Who makes the present change.
    pub(super) actor: Cell<Actor>,
    /// Whether this process serves: a command leaves to the server what takes long, or what the engine must hear of.
    pub(super) serving: bool,
    /// Endpoints that have changed, and not all of whose deliveries have followed.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
}

impl Tx<'_> {
    /// Who makes the present change.
    pub(super) fn actor(&self) -> Actor {
        self.actor.get()
    }

    /// Gives claims to the engine, with the news of this commit: in their order with what the commit's other writes made due.
    pub fn hand_over(&self, claimed: Vec<Claimed>) {
        claimed.into_iter().for_each(|claimed| self.announce(Change::Served(claimed)));
    }

    /// Announces that something of this endpoint is due at this moment.
    pub(super) fn due(&self, endpoint: EndpointKey, at: Timestamp) {
        self.announce(Change::Due(endpoint, at));
    }

    /// Adds a change to the news of this commit.
    pub(super) fn announce(&self, change: Change) {
        self.news.borrow_mut().changes.push(change);
    }

    /// Invalidates cached targets of this endpoint.
    pub(super) fn changed(&self, endpoint: EndpointKey) {
        self.targets.borrow_mut().changed(endpoint);
    }
}

/// A reading connection: one consistent view for as long as a closure runs.
#[derive(Debug)]
pub struct View<'a> {
    pub(super) conn: &'a Connection,
}
