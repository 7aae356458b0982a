//! The operator's routes under `/operator`: everything, in every account.

mod accounts;
mod alerts;
mod audit;
mod deliveries;
mod errors;
mod examples;
mod overview;
mod parameters;
mod retries;
mod tokens;
mod webhooks;
mod wire;

pub(crate) use self::{
    accounts::known,
    errors::Errors,
    examples::{A_VENDOR, SUPPLEMENT, Tag},
    parameters::{bad_cursor, moment, now, on_wire, page_size, walls, webhook},
    retries::COUNTING,
    tokens::holder,
    wire::{Header, MASK, Request},
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
