//! The filters that 'ngoma deliveries' and 'ngoma recover' share.

use std::time::Duration;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::wrong::{OfWords, wrong};
use crate::{
    api::{dialects, profiles},
    app::{Dialects, Wanted},
    clock::{Clock, SystemClock},
    config::{Config, command},
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        ids::EndpointId,
        profile::Profiles,
        selection::Selection,
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Error, Result},
};

/// A person with a shell on the machine sees everything.
pub(super) const ALL: Visible = Visible::EVERYTHING;

/// The deliveries that match every given filter.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only deliveries of this account.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only deliveries to this webhook.
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
    /// Only deliveries to webhooks whose URL or name contains this text, in any letter case.
    #[arg(long, value_name = "TEXT")]
    url: Option<String>,
    /// Only deliveries of this event, such as batch.exported.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only deliveries whose last attempt failed with this error.
    #[arg(long, value_name = "CLASS", value_parser = class())]
    error: Option<Failure>,
    /// Only deliveries made since this time, such as 2026-04-20T11:55:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only deliveries made until this time, such as 2026-04-20T11:55:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// The status of a delivery, as the API has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Status {
    Pending,
    #[value(name = "in_flight", alias = "in-flight")]
    InFlight,
    Delivered,
    Failed,
    Held,
    Cancelled,
}

impl Status {
    pub(super) const fn state(self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::InFlight => State::Claimed,
            Self::Delivered => State::Delivered,
            Self::Failed => State::Exhausted,
            Self::Held => State::Held,
            Self::Cancelled => State::Cancelled,
        }
    }
}

fn class() -> impl TypedValueParser<Value = Failure> {
    PossibleValuesParser::new(Failure::ALL.map(Failure::name)).try_map(|name| {
        let found = Failure::ALL.into_iter().find(|failure| failure.name() == name);
        found.ok_or("no such class")
    })
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let back = |wait: Duration| SystemClock.now() - wait;
    let while_ago = || humantime::parse_duration(text).ok().map(back);
    Timestamp::parse(text)
        .or_else(while_ago)
        .ok_or_else(|| "expected a time such as 2026-04-20T11:55:00Z, or how long ago, such as 2h".to_owned())
}

impl Filters {
    /// Only the deliveries of a webhook.
    pub(super) fn of_webhook(webhook: String) -> Self {
        Self { account: None, webhook: Some(webhook), url: None, event: None, error: None, since: None, until: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.account.is_none()
            && self.webhook.is_none()
            && self.event.is_none()
            && self.error.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.url.is_none()
    }

    /// The selection, and the visible part, narrowed to the profile of the webhook if one is named.
    pub(super) fn read(self, config: &Config, status: Option<Status>) -> Result<(Visible, Selection)> {
        let selection = Selection {
            account: self.account,
            url: self.url,
            kind: self.event,
            state: status.map(Status::state),
            failure: self.error,
            from: self.since,
            to: self.until,
            ..Selection::default()
        };
        let refusal = self.webhook.as_deref().map(no_webhook);
        let read = Wanted { webhook: self.webhook, selection }.read(&profiles(config), &ALL);
        let (visible, selection) = read.map_err(|error| refusal.unwrap_or(error)).of_words()?;
        Dialects::new(dialects(config)).check_event(&visible, selection.kind.as_deref()).of_words()?;
        Ok((visible, selection))
    }
}

/// The webhook with this id, and the visible part, narrowed to its profile.
pub(super) fn webhook(profiles: &Profiles, text: &str) -> Result<(EndpointId, Visible)> {
    profiles.webhook(&ALL, text).map_err(|_| no_webhook(text))
}

fn no_webhook(text: &str) -> Error {
    wrong(format!(
        "'{}' is no webhook's id, wh_... or whk_...: '{}' shows the ids",
        excerpt(text),
        command("webhooks list")
    ))
}

/// The name of a state, as the API has it.
pub(super) const fn name(state: State) -> &'static str {
    match state {
        State::Pending => "PENDING",
        State::Claimed => "IN_FLIGHT",
        State::Delivered => "DELIVERED",
        State::Exhausted => "FAILED",
        State::Held => "HELD",
        State::Cancelled => "CANCELLED",
    }
}
