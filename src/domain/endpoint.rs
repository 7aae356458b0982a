//! Endpoints (on the wire: webhooks): where an account wants its events, and which.

use std::fmt;

use url::{Host, Url};

use crate::{
    domain::{
        about::About, endpoint_settings::EndpointSettings, excerpt::excerpt, ids::EndpointId, target_text,
        timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
};

/// The key of an endpoint's row.
pub type EndpointKey = i64;

/// A target URL, parsed once: http or https, a host, no user, a port that can be dialled. Its canonical text is dialled
/// and compared; its owner sees it as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    url: Url,
    /// The text as it was given, if it is not the canonical one.
    given: Option<Box<str>>,
}

impl TargetUrl {
    /// Parses a subscriber's URL of at most `max_bytes`. It is taken as it is written, or refused: where parsers differ,
    /// one of them would read another target.
    ///
    /// # Errors
    /// [`Invalid::Target`] for a URL that no delivery could or should be sent to, or that does not say clearly where.
    pub fn parse(text: &str, max_bytes: usize) -> Result<Self> {
        if text.len() > max_bytes {
            return Err(unusable(&format!("it is longer than {max_bytes} bytes")));
        }
        target_text::check_before_parsing(text).map_err(|problem| unusable(&problem))?;
        let target = Self::canonical(text)?;
        target_text::check(text, &target.url).map_err(|problem| unusable(&problem))?;
        Ok(target.as_given(Some(text)))
    }

    /// The URL of a stored text. Limits and rules may have changed since it was accepted.
    ///
    /// # Errors
    /// As [`TargetUrl::parse`], for a damaged file.
    pub fn from_stored(text: &str) -> Result<Self> {
        let mut target = Self::canonical(text)?;
        target.url.set_fragment(None);
        Ok(target)
    }

    /// This URL, written in this way.
    #[must_use]
    pub fn as_given(self, text: Option<&str>) -> Self {
        let given = text.filter(|text| *text != self.url.as_str()).map(Box::from);
        Self { given, ..self }
    }

    fn canonical(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|flaw| unusable(&flaw.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("it does not start with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable(target_text::USER));
        }
        if url.port() == Some(0) {
            return Err(unusable("its port is 0"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(unusable("it names no host"));
        }
        Ok(Self { url, given: None })
    }

    /// Whether it is plain http.
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Whether it has no path.
    pub fn is_root(&self) -> bool {
        self.url.path() == "/"
    }

    /// The canonical text: it is compared and dialled.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The text as it was given, for its owner.
    pub fn given(&self) -> &str {
        self.given.as_deref().unwrap_or(self.as_str())
    }

    /// Whether a text means the same target.
    pub fn is_same_as(&self, text: &str) -> bool {
        Self::from_stored(text).is_ok_and(|other| other.url == self.url)
    }

    /// The text as it was given, if it is not the canonical one.
    pub fn given_otherwise(&self) -> Option<&str> {
        self.given.as_deref()
    }

    /// The given text for people who do not own it, as [`masked`] shows it.
    pub fn masked(&self) -> String {
        masked(self.given())
    }

    /// Scheme, host and port, without a path, which may hold a secret too.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The host: a name or an address.
    pub fn host(&self) -> Host<&str> {
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// The port in the URL, or the usual one.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }
}

fn unusable(problem: &str) -> Error {
    Error::invalid(Invalid::Target, format!("this URL cannot be used: {problem}"))
}

/// Characters of a path that everyone may see.
const SHOWN_PATH: usize = 12;

/// A URL for people who do not own it, without its query and the end of a longer path, which may hold secrets.
pub fn masked(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    let host = url.find("://").map_or(0, |end| end + "://".len());
    let path = url[host..].find('/').map_or(url.len(), |start| host + start);
    match url[path..].char_indices().nth(SHOWN_PATH) {
        Some((end, _)) => format!("{}...", &url[..path + end]),
        None => url.to_owned(),
    }
}

/// The reason for which the egress guard refuses a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Because of the URL itself.
    #[error("{0}")]
    Written(String),
    /// The address, which the operator has not allowed, and the reason. Accounts must not learn the addresses of names
    /// within the operator's networks.
    #[error("{0}")]
    Address(String),
}

impl Blocked {
    /// The refusal as an account may read it.
    pub fn for_account(&self) -> Error {
        match self {
            Self::Written(_) => self.for_operator(),
            Self::Address(_) => Self::Written(
                "its address is not allowed; the operator finds the reason in the log, and egress.allow opens networks"
                    .to_owned(),
            )
            .for_operator(),
        }
    }

    /// The refusal as the operator may read it.
    pub fn for_operator(&self) -> Error {
        unusable(&self.to_string())
    }
}

/// The events that an endpoint wants: names of the catalogue, prefixes such as `batch.*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter(Vec<String>);

impl EventFilter {
    /// Checks a subscriber's list of at most `max_entries` against the catalogue; duplicates are dropped.
    ///
    /// # Errors
    /// An empty list, one that is too long, or an entry that can match nothing.
    pub fn parse<'a>(
        entries: Vec<String>,
        catalogue: impl Iterator<Item = &'a str> + Clone,
        max_entries: usize,
    ) -> Result<Self> {
        if entries.len() > max_entries {
            return Err(Error::request(format!(
                "events has {} entries: at most {max_entries} are taken",
                entries.len()
            )));
        }
        let mut kept: Vec<String> = Vec::new();
        for entry in entries {
            if !catalogue.clone().any(|kind| matches(&entry, kind)) {
                let prefix = catalogue.clone().find_map(|kind| kind.split_once('.')).map_or("", |(prefix, _)| prefix);
                let known = catalogue.collect::<Vec<_>>().join(", ");
                return Err(Error::invalid(
                    Invalid::UnknownEvent,
                    format!(
                        "events holds '{}', which matches no event: expected {known}, a prefix such as {prefix}.*, or *",
                        excerpt(&entry)
                    ),
                ));
            }
            if !kept.contains(&entry) {
                kept.push(entry);
            }
        }
        if kept.is_empty() {
            return Err(Error::request("events is empty: name at least one, or * for all"));
        }
        Ok(Self(kept))
    }

    /// The filter of a stored text; the opposite of its `Display`.
    pub fn from_stored(text: &str) -> Self {
        Self(text.split(' ').map(str::to_owned).collect())
    }

    /// Whether an event of this kind is wanted.
    pub fn wants(&self, kind: &str) -> bool {
        self.0.iter().any(|entry| matches(entry, kind))
    }

    /// Whether both select the same events: all, or the same entries in any order.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let wants_all = |filter: &Self| filter.0.iter().any(|entry| entry == "*");
        let within = |one: &Self, other: &Self| one.0.iter().all(|entry| other.0.contains(entry));
        wants_all(self) && wants_all(other) || within(self, other) && within(other, self)
    }

    /// The first event of this catalogue that the first entry matches; if none, the next entry, and so on.
    pub fn first_of<'a>(&self, catalogue: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
        self.0.iter().find_map(|entry| catalogue.clone().find(|kind| matches(entry, kind)))
    }

    /// The entries, as they were given.
    pub fn entries(&self) -> &[String] {
        &self.0
    }
}

/// Stored with a space between two entries: no name holds one.
impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

fn matches(entry: &str, kind: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(prefix) => prefix.is_empty() || (prefix.ends_with('.') && kind.starts_with(prefix)),
        None => entry == kind,
    }
}

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Deliveries go out.
    Active,
    /// Deliveries are held until it is resumed.
    Suspended,
    /// Deleted. Its row stays for the record of its deliveries. Final.
    Deleted,
}

/// Why an endpoint is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspendedReason {
    /// The last attempt of a delivery failed.
    Exhausted,
    /// The last attempt of a delivery failed, and nothing else was delivered since its first.
    Dead,
    /// It answered 410 Gone.
    Gone,
    /// Somebody paused it.
    Paused,
}

impl SuspendedReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Exhausted, Self::Dead, Self::Gone, Self::Paused];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Dead => "dead",
            Self::Gone => "gone",
            Self::Paused => "paused",
        }
    }
}

/// Which deliveries a resume sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// Those that failed since its last success, as replays and before the held ones.
    Failed,
    /// None: failed deliveries stay as they are.
    Nothing,
}

/// The deliveries that a resume sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Failed deliveries that are sent again.
    pub resent: u64,
    /// Held deliveries that go out.
    pub released: u64,
}

impl Resumed {
    /// Whether there is nothing to send.
    pub const fn is_nothing(self) -> bool {
        self.resent == 0 && self.released == 0
    }
}

/// Both numbers in words, in the order of sending: people read this before and after a resume.
impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resent, released } = *self;
        match resent {
            0 => {}
            1 => f.write_str("1 failed delivery is sent again")?,
            _ => write!(f, "{resent} failed deliveries are sent again")?,
        }
        match (resent, released) {
            (0, 0) => f.write_str("nothing waits for it"),
            (_, 0) => Ok(()),
            (0, 1) => f.write_str("1 held delivery goes out"),
            (0, _) => write!(f, "{released} held deliveries go out"),
            (_, 1) => f.write_str(", then 1 held one goes out"),
            (_, _) => write!(f, ", then {released} held ones go out"),
        }
    }
}

/// An endpoint, without its secrets.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The key of its row.
    pub key: EndpointKey,
    /// The public id.
    pub id: EndpointId,
    /// The public id of its account.
    pub account_id: String,
    /// Where deliveries go.
    pub url: TargetUrl,
    /// Its name and its description.
    pub about: About,
    /// What its owner decided about the sending to it.
    pub settings: EndpointSettings,
    /// The names of the headers that its owner adds.
    pub header_names: Vec<String>,
    /// A mark of these headers with their values, which does not reveal them.
    pub headers_mark: [u8; 8],
    /// Which events it wants.
    pub events: EventFilter,
    /// Active, suspended or deleted.
    pub state: EndpointState,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
    /// Why it is suspended.
    pub suspended_reason: Option<SuspendedReason>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// When its secret was last changed; `None`: never.
    pub secret_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
}
