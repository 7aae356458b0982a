//! The operator's routes under `/operator`: everything, in every account.

mod accounts;
mod alerts;
mod audit;
mod deliveries;
mod deprecated;
mod errors;
mod examples;
mod overview;
mod recoveries;
mod sign_in_links;
mod tokens;
mod webhooks;
mod wire;

pub(crate) use self::{
    examples::{A_VENDOR, SUPPLEMENT},
    wire::{Notices, Posts, ServerPosts},
};

pub(super) type Routes = (
    overview::Routes,
    accounts::Routes,
    tokens::Routes,
    sign_in_links::Routes,
    webhooks::Routes,
    deliveries::Routes,
    recoveries::Routes,
    deprecated::Routes,
    alerts::Routes,
    audit::Routes,
);

pub(super) const ROUTES: Routes = (
    overview::Routes,
    accounts::Routes,
    tokens::Routes,
    sign_in_links::Routes,
    webhooks::Routes,
    deliveries::Routes,
    recoveries::Routes,
    deprecated::Routes,
    alerts::Routes,
    audit::Routes,
);
