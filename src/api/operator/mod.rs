//! The operator's routes under `/operator`: everything, in every account. What they show of webhooks and deliveries is read
//! from the store within the caller's walls, as everywhere.

mod accounts;
mod alerts;
mod audit;
mod deliveries;
mod examples;
mod overview;
mod retries;
mod tokens;
mod webhooks;
mod wire;

pub(super) use self::{
    accounts::known,
    examples::{A_VENDOR, SUPPLEMENT},
    retries::COUNTING,
    tokens::holder,
    wire::{Header, MASK, Request},
};
use super::{Deps, auth::Authenticated, failure::Failure, refused::Shape};
use crate::{
    config::Limits,
    domain::{
        grant::Grant,
        ids::EndpointId,
        profile::Profiles,
        timestamp::Timestamp,
        token::{Scope, Walls},
    },
    error::{Error, Missing, Result},
};

/// The routes, by subject.
pub(super) type Routes = (
    overview::Routes,
    accounts::Routes,
    tokens::Routes,
    webhooks::Routes,
    deliveries::Routes,
    retries::Routes,
    alerts::Routes,
    audit::Routes,
);

/// All of them.
pub(super) const ROUTES: Routes = (
    overview::Routes,
    accounts::Routes,
    tokens::Routes,
    webhooks::Routes,
    deliveries::Routes,
    retries::Routes,
    alerts::Routes,
    audit::Routes,
);

/// Entries on a page, unless asked otherwise.
const PAGE: u32 = 20;

/// The shape of its errors.
#[derive(Debug)]
struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (
            400,
            "`INVALID_REQUEST`: the request is not of the documented form; the message says what is wrong, and where.",
        ),
        (401, "`UNAUTHORIZED`: no token, or one that is unknown or revoked."),
        (403, "`FORBIDDEN`: the token lacks the scope `operator`."),
        (
            404,
            "`ACCOUNT_NOT_FOUND`, `TOKEN_NOT_FOUND`, `WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `RETRY_NOT_FOUND`, `NOT_FOUND`: there is no such thing.",
        ),
        (
            409,
            "`ALREADY_EXISTS`: an account of this id is there. `WEBHOOK_SUSPENDED`: resume the webhook first. `DELIVERY_IN_FLIGHT`: an attempt is under way. `ALREADY_ENDED`: the delivery, or its webhook, has come to its end.",
        ),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes."),
        (414, "`INVALID_REQUEST`: the URL is longer than limits.request_url_bytes."),
        (415, "`UNSUPPORTED_MEDIA_TYPE`: the body is not sent as application/json in UTF-8, or is compressed."),
        (422, "Not used by these routes."),
        (429, "`RATE_LIMITED`: too many requests of this token; `Retry-After` says how long to wait."),
        (
            431,
            "`INVALID_REQUEST`: there are more headers, or larger ones, than limits.request_headers and request_header_bytes allow.",
        ),
        (500, "`INTERNAL`: a fault of the server; its log says more, under the request_id."),
        (
            503,
            "`UNAVAILABLE`: the server cannot take this now: try again. Nothing was stored, unless the message says that this is not known.",
        ),
    ];
}

/// The right of the caller, who must be an operator, and what they may see.
fn walls(auth: &Authenticated) -> Result<(Grant, Walls)> {
    auth.0.horizon(Scope::Operator)
}

/// How many entries a page holds.
fn page_size(asked: Option<u32>, limits: &Limits) -> Result<usize> {
    let limit = asked.unwrap_or(PAGE.min(limits.page_size));
    if (1..=limits.page_size).contains(&limit) {
        return Ok(limit as usize);
    }
    Err(Error::request(format!("limit must be 1 to {}", limits.page_size)))
}

/// A cursor that no list gave.
fn bad_cursor() -> Error {
    Error::request("cursor is not one that this list gave: start again without it")
}

/// A webhook's id with its vendor's prefix, and the walls narrowed to that vendor.
pub(super) fn webhook(profiles: &Profiles, walls: &Walls, text: &str) -> Result<(EndpointId, Walls)> {
    let found = profiles.iter().find_map(|profile| {
        let id = EndpointId::from_wire(profile.endpoint_prefix, text)?;
        walls.profile.as_ref().is_none_or(|seen| *seen == profile.name).then_some((id, profile.name))
    });
    let (id, profile) = found.ok_or(Error::NotFound(Missing::Webhook))?;
    Ok((id, Walls { profile: Some(profile.into()), account: walls.account }))
}

/// A webhook's id, as its vendor writes it.
pub(super) fn on_wire(profiles: &Profiles, profile: &str, id: EndpointId) -> String {
    id.on_wire(profiles.get(profile).map_or("", |profile| profile.endpoint_prefix))
}

/// A time in a filter.
pub(super) fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    text.map(|text| Timestamp::read(name, text)).transpose()
}

/// What the store needs to be read at some moment.
fn now(deps: &Deps) -> Timestamp {
    deps.clock.now()
}
