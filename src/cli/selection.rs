//! Which deliveries: the filters that 'ngoma deliveries' and 'ngoma retry' share.

use std::time::Duration;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::{
    clock::{Clock, SystemClock},
    domain::{
        delivery::{Failure, State},
        ids::EndpointId,
        profile::Profiles,
        selection::Selection,
        timestamp::Timestamp,
        token::Walls,
    },
    error::{Error, Result},
};

/// Whoever has a shell on the machine sees everything.
pub(super) const ALL: Walls = Walls { profile: None, account: None };

/// Those that fit all that is given.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only of this account.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only to this webhook.
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
    /// Only of this event, such as batch.exported.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only those whose last attempt failed so.
    #[arg(long, value_name = "CLASS", value_parser = class())]
    error: Option<Failure>,
    /// Only those made since: a time such as 2026-04-20T11:55:00Z, or a while such as 2h or 3d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
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

/// The class of a failure, by its name.
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
        .ok_or_else(|| "expected a time such as 2026-04-20T11:55:00Z, or a while such as 2h".to_owned())
}

impl Filters {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.account.is_none()
            && self.webhook.is_none()
            && self.event.is_none()
            && self.error.is_none()
            && self.since.is_none()
    }

    /// The selection, and the walls narrowed to the vendor of the webhook, if one is named.
    pub(super) fn read(self, profiles: &Profiles, status: Option<Status>) -> Result<(Walls, Selection)> {
        let (mut walls, mut endpoint) = (ALL, None);
        if let Some(text) = &self.webhook {
            let (within, id) = webhook(profiles, text)?;
            (walls, endpoint) = (within, Some(id));
        }
        let selection = Selection {
            account: self.account,
            endpoint,
            kind: self.event,
            state: status.map(Status::state),
            failure: self.error,
            from: self.since,
            to: None,
            delivery: None,
        };
        Ok((walls, selection))
    }
}

/// The webhook of an id as people write it, and the walls narrowed to its vendor.
pub(super) fn webhook(profiles: &Profiles, text: &str) -> Result<(Walls, EndpointId)> {
    let found =
        profiles.iter().find_map(|profile| Some((EndpointId::from_wire(profile.endpoint_prefix, text)?, profile.name)));
    let (id, profile) = found.ok_or_else(|| Error::request(format!("'{text}' is no webhook's id")))?;
    Ok((Walls { profile: Some(profile.into()), account: None }, id))
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
