//! A transaction of the writer and a view of a reading connection: the first argument of every verb of the store.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::Deref,
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
use crate::{
    clock::SharedClock,
    domain::{account::AccountKey, audit::Actor, endpoint::EndpointKey, timestamp::Timestamp},
};

/// A transaction is a moment: everything written in it happens at `now`. A function that reads a [`View`] takes one
/// too.
#[derive(Debug)]
pub struct Tx<'a> {
    /// The view of a read inside the transaction.
    pub(super) view: View<'a>,
    /// The moment of the transaction.
    pub now: Timestamp,
    /// A connection that sees only committed data.
    pub(super) inline_reader: &'a Mutex<Connection>,
    pub(super) targets: &'a RefCell<Targets>,
    pub(super) claim_budget: &'a ClaimBudget,
    pub(super) news: RefCell<News>,
    /// The machine's uptime, which never steps.
    pub(super) uptime: Duration,
    pub(super) usage: &'a RefCell<Usage>,
    /// Bytes that accounts have stored or freed in this transaction, not yet added to their rows.
    pub(super) stored: RefCell<Vec<(AccountKey, i64)>>,
    /// Who makes the present change.
    pub(super) actor: Cell<Actor>,
    /// Whether this process is the server. A command leaves long work, and work that the engine must know of, to the
    /// server.
    pub(super) serving: bool,
    /// Changed endpoints whose deliveries are not all updated yet.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
}

impl<'a> Deref for Tx<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl Tx<'_> {
    /// Who makes the present change.
    pub(super) fn actor(&self) -> Actor {
        self.actor.get()
    }

    /// Gives claims to the engine by the news of this commit. There they are in order with the deliveries that other
    /// writes of the commit made due.
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

/// A reading connection. A closure sees one consistent state of the database.
#[derive(Debug)]
pub struct View<'a> {
    pub(super) conn: &'a Connection,
    pub(super) keys: &'a KeyRing,
    pub(super) clock: &'a SharedClock,
}
