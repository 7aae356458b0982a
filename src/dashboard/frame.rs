//! The frame of every page: its head, the links to the other pages, the name of the visitor.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    assets::Assets,
    format::{Moment, count},
    state::Shared,
    visit::Visit,
};
use crate::domain::{endpoint::Resumed, ids::RequestId, timestamp::Timestamp, token::Scope};

/// A link to another page.
pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
    pub(super) current: bool,
}

/// The frame of a page.
pub(super) struct Frame<'a> {
    pub(super) assets: &'a Assets,
    pub(super) links: Vec<Link>,
    pub(super) who: String,
    /// The token that every form carries.
    pub(super) form: String,
    /// The id of a form that makes something: the form is taken once.
    pub(super) once: String,
    /// The address to load the page again; empty for a page that a form led to.
    pub(super) at: String,
    /// The sentence about the form that led here.
    pub(super) said: Cow<'static, str>,
    pub(super) operator: bool,
    now: Timestamp,
}

/// Address, label, and the scope that opens the page; without a scope, only the operator sees it.
const PAGES: [(&str, &str, Option<Scope>); 8] = [
    ("/ui", "Overview", Some(Scope::Webhooks)),
    ("/ui/webhooks", "Webhooks", Some(Scope::Webhooks)),
    ("/ui/deliveries", "Deliveries", Some(Scope::Webhooks)),
    ("/ui/events", "Events", Some(Scope::Events)),
    ("/ui/alerts", "Alerts", Some(Scope::Webhooks)),
    ("/ui/accounts", "Accounts", None),
    ("/ui/audit", "Audit", None),
    ("/ui/system", "System", None),
];

impl<'a> Frame<'a> {
    /// The frame of a page; `at` is the address of its link in the navigation.
    pub(super) fn new(shared: &'a Shared, visit: &Visit, at: &str) -> Self {
        let (operator, now) = (visit.is_operator(), shared.app.clock().now());
        let opens = |scope: &Option<Scope>| scope.map_or(operator, |scope| visit.caller.scopes.allow(scope));
        let links = PAGES.iter().filter(|(.., scope)| opens(scope));
        Self {
            assets: &shared.assets,
            links: links.map(|&(href, label, _)| Link { href, label, current: href == at }).collect(),
            who: visit.who(),
            form: visit.form_token(),
            once: RequestId::mint(now).to_string(),
            at: visit.at.clone(),
            said: Cow::Borrowed(""),
            operator,
            now,
        }
    }

    /// Adds the sentence about the form that led here.
    pub(super) fn saying(mut self, said: &Said) -> Self {
        self.said = said.sentence();
        self
    }

    /// A moment as the page shows it.
    pub(super) fn when(&self, at: Timestamp) -> Moment {
        Moment::new(at, self.now)
    }

    /// The moment of the page.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The moment of the page, for its script.
    pub(super) fn moment(&self) -> String {
        self.now.precise()
    }

    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// The result of a form. The address of the next page carries it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    said: Option<String>,
    /// For a webhook that was resumed: how many failed deliveries are sent again, and how many held ones go out.
    #[serde(default)]
    resent: u64,
    #[serde(default)]
    released: u64,
    /// For deliveries that were selected: how many are replayed, and how many are not.
    #[serde(default)]
    replayed: u64,
    #[serde(default)]
    skipped: u64,
}

impl Said {
    fn sentence(&self) -> Cow<'static, str> {
        let sentence = match self.said.as_deref().unwrap_or_default() {
            "paused" => "Paused. New deliveries are held until you resume it.",
            "resumed" => {
                let Self { resent, released, .. } = *self;
                return format!("Resumed: {}.", Resumed { resent, released }).into();
            }
            "replayed-some" => return replayed_some(self.replayed, self.skipped).into(),
            "active" => "It was active already: nothing was changed.",
            "changed" => "Changed. The change applies from the next delivery on.",
            "deleted" => "Deleted. Its waiting and held deliveries are cancelled.",
            "dropping" => {
                "The held deliveries are being dropped: the number falls to nothing as they are cancelled. If the server is stopped before that, drop the rest again."
            }
            "replayed" => "Replayed: this is the new delivery of the same event.",
            "cancelled" => "Cancelled. It is not tried again.",
            "recovery-cancelled" => "The recovery is cancelled. The replays that it has made go out.",
            "account" => "The account is made. Now make a token for it, and a webhook.",
            "mail-set" => "Changed: its alerts go to this address.",
            "mail-none" => "Changed: its alerts are mailed to nobody.",
            "session-ended" => "The session has ended: its browser is signed out.",
            "erased" => "The account is erased. The rest of its rows is removed now, step by step.",
            "revoked" => "The token is revoked: it is refused from now on, and its dashboards are signed out.",
            "tested" => "The channel has taken a test: look whether it has arrived.",
            "mailed" => "A test mail is sent: look into the mailbox.",
            _ => "",
        };
        Cow::Borrowed(sentence)
    }
}

fn replayed_some(replayed: u64, skipped: u64) -> String {
    let done = count(replayed, "delivery is", "deliveries are");
    match skipped {
        0 => format!("Replayed: {done} sent again."),
        _ => format!("Replayed: {done} sent again. {skipped} not: resume the webhook first, or it is deleted."),
    }
}
