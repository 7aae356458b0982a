//! What every page has around it: its head, the way to the other pages, who is signed in.

use std::{borrow::Cow, sync::LazyLock};

use askama::Template;
use poem::{
    IntoResponse, Response, Result,
    http::{HeaderValue, StatusCode, header},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Door, made::Shown, session::Visit, words::Moment};
use crate::{
    api::pages::Page,
    domain::{endpoint::Resumed, ids::RequestId, timestamp::Timestamp, token::Scope},
    error::Error,
};

/// What a page is sent as.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The style sheet of the dashboard, and of the guide.
pub(crate) const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("app.js");
const ICON: &str = include_str!("icon.svg");

/// The files that pages load. Their addresses name their content, so that a browser asks for each once.
pub(super) struct Assets {
    /// Marks this style sheet.
    pub(super) style: &'static str,
    /// Marks this script.
    pub(super) script: &'static str,
    /// Marks this icon.
    pub(super) icon: &'static str,
    files: [(&'static str, Page); 3],
}

fn mark(text: &str) -> String {
    Sha256::digest(text)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Assets {
    pub(super) fn new() -> Self {
        static STYLE_MARK: LazyLock<String> = LazyLock::new(|| mark(STYLE));
        static SCRIPT_MARK: LazyLock<String> = LazyLock::new(|| mark(SCRIPT));
        static ICON_MARK: LazyLock<String> = LazyLock::new(|| mark(ICON));
        Self {
            style: &STYLE_MARK,
            script: &SCRIPT_MARK,
            icon: &ICON_MARK,
            files: [
                ("/ui/style.css", Page::new("text/css; charset=utf-8", || Ok(STYLE.to_owned())).kept()),
                ("/ui/app.js", Page::new("text/javascript; charset=utf-8", || Ok(SCRIPT.to_owned())).kept()),
                ("/ui/icon.svg", Page::new("image/svg+xml", || Ok(ICON.to_owned())).kept()),
            ],
        }
    }

    /// The file at this path.
    pub(super) fn at(&self, path: &str) -> Option<&Page> {
        self.files.iter().find(|(at, _)| *at == path).map(|(_, page)| page)
    }
}

/// A link to another page.
pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
    pub(super) current: bool,
}

/// What stands around a page.
pub(super) struct Frame<'a> {
    pub(super) assets: &'a Assets,
    pub(super) links: Vec<Link>,
    pub(super) who: String,
    /// What every form carries.
    pub(super) form: String,
    /// What a form carries that makes something: it is taken once.
    pub(super) once: String,
    /// Where to fetch the page anew; nothing for one that a form led to.
    pub(super) at: String,
    /// What was just done.
    pub(super) said: Cow<'static, str>,
    pub(super) operator: bool,
    now: Timestamp,
}

/// Address, label, and the scope that opens it; without one, the operator alone.
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
    /// The frame of a page that stands below the link of this address.
    pub(super) fn new(door: &'a Door, visit: &Visit, at: &str) -> Self {
        let (operator, now) = (visit.is_operator(), door.deps.clock.now());
        let opens = |scope: &Option<Scope>| scope.map_or(operator, |scope| visit.caller.scopes.allow(scope));
        let links = PAGES.iter().filter(|(.., scope)| opens(scope));
        Self {
            assets: &door.assets,
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

    /// The same, with what was just done.
    pub(super) fn saying(mut self, said: &Said) -> Self {
        self.said = said.sentence();
        self
    }

    /// A moment, seen from the page's.
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

    /// The version of the program.
    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// What a form did, as its address says it to the page that follows.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    said: Option<String>,
    /// Of a webhook that was resumed: how many failed deliveries are sent again, and how many held ones go out.
    #[serde(default)]
    resent: u64,
    #[serde(default)]
    released: u64,
}

impl Said {
    fn sentence(&self) -> Cow<'static, str> {
        let sentence = match self.said.as_deref().unwrap_or_default() {
            "paused" => "Paused. What comes for it from now on is held until you resume it.",
            "resumed" => {
                let Self { resent, released, .. } = *self;
                return format!("Resumed: {}.", Resumed { resent, released }).into();
            }
            "active" => "It was active already: nothing was changed.",
            "changed" => "Changed. It holds from the next delivery on.",
            "deleted" => "Deleted. What was waiting or held for it is cancelled.",
            "dropping" => {
                "The held deliveries are being dropped: the number falls to nothing as they are cancelled. If the server is stopped before that, drop the rest again."
            }
            "replayed" => "Replayed: this is the new delivery of the same event.",
            "cancelled" => "Cancelled. It is not tried again.",
            "retry-cancelled" => "The run is cancelled. What it has replayed by now goes out.",
            "account" => "The account is made. Now make a token for it.",
            "revoked" => "The token is revoked: it is refused from now on, and its dashboards are signed out.",
            "mailed" => "A test mail is on its way: look into the mailbox.",
            _ => "",
        };
        Cow::Borrowed(sentence)
    }
}

/// A page that shows something once.
#[derive(Template)]
#[template(path = "once.html", config = "src/api/ui/askama.toml")]
pub(super) struct Once<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) shown: &'a Shown,
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Result<Response> {
    let unmade = |flaw: askama::Error| Error::Internal(format!("a page cannot be made: {flaw}"));
    let text = template.render().map_err(unmade)?;
    Ok(Response::builder().content_type(HTML).body(text))
}

/// Shows another page, after a form.
pub(super) fn go(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
