//! What the operator's routes read of a request: the right to act, pages, ids, times.

use crate::{
    api::{deps::Deps, openapi::Authenticated},
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

/// Entries on a page, unless asked otherwise.
const PAGE: u32 = 20;

/// The right of the caller, who must be an operator, and what they may see.
pub(crate) fn walls(auth: &Authenticated) -> Result<(Grant, Walls)> {
    auth.0.horizon(Scope::Operator)
}

/// How many entries a page holds.
pub(crate) fn page_size(asked: Option<u32>, limits: &Limits) -> Result<usize> {
    let limit = asked.unwrap_or(PAGE.min(limits.page_size));
    if (1..=limits.page_size).contains(&limit) {
        return Ok(limit as usize);
    }
    Err(Error::request(format!("limit must be 1 to {}", limits.page_size)))
}

/// A cursor that no list gave.
pub(crate) fn bad_cursor() -> Error {
    Error::request("cursor is not one that this list gave: start again without it")
}

/// A webhook's id with its vendor's prefix, and the walls narrowed to that vendor.
pub(crate) fn webhook(profiles: &Profiles, walls: &Walls, text: &str) -> Result<(EndpointId, Walls)> {
    let found = profiles.iter().find_map(|profile| {
        let id = EndpointId::from_wire(profile.endpoint_prefix, text)?;
        walls.profile.as_ref().is_none_or(|seen| *seen == profile.name).then_some((id, profile.name))
    });
    let (id, profile) = found.ok_or(Error::NotFound(Missing::Webhook))?;
    Ok((id, Walls { profile: Some(profile.into()), account: walls.account }))
}

/// A webhook's id, as its vendor writes it.
pub(crate) fn on_wire(profiles: &Profiles, profile: &str, id: EndpointId) -> String {
    id.on_wire(profiles.get(profile).map_or("", |profile| profile.endpoint_prefix))
}

/// A time in a filter.
pub(crate) fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    text.map(|text| Timestamp::read(name, text)).transpose()
}

/// What the store needs to be read at some moment.
pub(crate) fn now(deps: &Deps) -> Timestamp {
    deps.clock.now()
}
