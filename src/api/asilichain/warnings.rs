//! The warnings of a publish whose data does not fit the catalogue: in a header of the answer, and in the log.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem_openapi::ApiResponse;

use super::{
    draft::CatalogueEvent,
    wire::{Accepted, AcceptedEvents},
};
use crate::{
    api::openapi::{Body, Printed},
    app::publish::Draft,
    domain::event,
};

/// Warnings that an answer names; it counts the others. So the header stays below 2 KiB.
const MOST: usize = 8;

/// Lines of an account in a minute that are logged at info; more are logged at debug.
const LINES: u32 = 10;

const MESSAGE: &str = "an event was accepted whose data does not fit the catalogue";

/// The answer to a published event.
#[derive(ApiResponse)]
pub(super) enum Publication {
    /// The event is on disk, and its deliveries go out.
    #[oai(status = 202)]
    Accepted(
        Body<Accepted>,
        /// Where the data does not fit the catalogue, if it does not: a list of strings (RFC 9651). At most 8, then how
        /// many more there are. It is sent only with `asilichain.validate = "warn"`, the default.
        #[oai(header = "X-Ngoma-Warnings")]
        Option<String>,
    ),
}

/// The answer to a batch.
#[derive(ApiResponse)]
pub(super) enum BatchPublication {
    /// All events are on disk, and their deliveries go out.
    #[oai(status = 202)]
    Accepted(
        Printed<AcceptedEvents>,
        /// Where the data of the events does not fit the catalogue, if it does not: a list of strings (RFC 9651), each
        /// with the place of its event, such as `events[3].data.weight_kg`. At most 8, then how many more there are. It
        /// is sent only with `asilichain.validate = "warn"`, the default.
        #[oai(header = "X-Ngoma-Warnings")]
        Option<String>,
    ),
}

/// Tells of events that do not fit.
pub(crate) struct Warnings {
    lines: DefaultKeyedRateLimiter<String>,
}

impl Default for Warnings {
    fn default() -> Self {
        Self { lines: RateLimiter::keyed(Quota::per_minute(NonZeroU32::new(LINES).unwrap_or(NonZeroU32::MIN))) }
    }
}

impl Warnings {
    /// Logs the misfits of an accepted event, and gives the value of the header.
    pub(super) fn of(&self, event: &CatalogueEvent, accepted: &event::Accepted) -> Option<String> {
        self.log(event, accepted);
        header(event.misfits.iter().cloned())
    }

    /// As [`Warnings::of`], for a batch.
    pub(super) fn of_all(&self, events: &[(CatalogueEvent, event::Accepted)]) -> Option<String> {
        events.iter().for_each(|(event, accepted)| self.log(event, accepted));
        let each = events.iter().enumerate().flat_map(|(place, (event, _))| {
            event.misfits.iter().map(move |misfit| format!("events[{place}].{misfit}"))
        });
        header(each)
    }

    fn log(&self, event: &CatalogueEvent, accepted: &event::Accepted) {
        if event.misfits.is_empty() {
            return;
        }
        let (account, kind, warnings) = (event.account(), event.kind(), event.misfits.join("; "));
        if self.lines.check_key(&account.to_owned()).is_ok() {
            tracing::info!(account, event.id = %accepted.id, event.kind = kind, warnings, "{MESSAGE}");
        } else {
            tracing::debug!(account, event.id = %accepted.id, event.kind = kind, warnings, "{MESSAGE}");
        }
    }
}

/// The misfits as a list of strings. They are ASCII without quotes and backslashes.
fn header(mut misfits: impl Iterator<Item = String>) -> Option<String> {
    let mut named: Vec<String> = misfits.by_ref().take(MOST).collect();
    let more = misfits.count();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    (!named.is_empty()).then(|| named.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", "))
}
