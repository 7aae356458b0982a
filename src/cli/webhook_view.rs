//! A webhook, as the command line shows it.

use serde_json::{Map, Value, json};

use super::output::print_json;
use crate::{
    app::webhooks::WebhookSummary,
    domain::{
        endpoint::{Endpoint, EndpointState, SuspendedReason},
        endpoint_settings::RateLimit,
        own_headers::MASK,
        profile::Profiles,
    },
};

/// The id on the wire.
pub(super) fn id(endpoint: &Endpoint, profile: &str, profiles: &Profiles) -> String {
    profiles.on_wire(profile, endpoint.id)
}

pub(super) const fn status(endpoint: &Endpoint) -> &'static str {
    match endpoint.state {
        EndpointState::Active => "ACTIVE",
        EndpointState::Suspended => "SUSPENDED",
        EndpointState::Deleted => "DELETED",
    }
}

/// The object of `--json`. Values of headers are masked.
pub(super) fn object(endpoint: &Endpoint, profile: &str, profiles: &Profiles) -> Value {
    let masked = |name: &String| (name.clone(), Value::from(MASK));
    json!({
        "webhook_id": id(endpoint, profile, profiles),
        "account_id": endpoint.account_id,
        "profile": profile,
        "url": endpoint.url.given(),
        "events": endpoint.events.entries(),
        "status": status(endpoint),
        "suspended_at": endpoint.suspended_at.map(|at| at.to_string()),
        "suspended_reason": endpoint.suspended_reason.map(SuspendedReason::name),
        "created_at": endpoint.created_at.to_string(),
        "name": endpoint.about.name,
        "description": endpoint.about.description,
        "metadata": endpoint.settings.metadata.entries(),
        "headers": endpoint.header_names.iter().map(masked).collect::<Map<_, _>>(),
        "rate_limit": endpoint.settings.sending.rate_limit.map(RateLimit::as_per_second),
        "ordered": endpoint.settings.sending.ordered,
    })
}

/// Prints one webhook with its settings.
pub(super) fn print(summary: &WebhookSummary, profile: &str, profiles: &Profiles, as_json: bool) {
    let endpoint = &summary.endpoint;
    if as_json {
        let mut shown = object(endpoint, profile, profiles);
        shown["held_deliveries"] = summary.held.into();
        shown["failed_deliveries"] = summary.failed.into();
        return print_json(&shown);
    }
    let because = endpoint.suspended_reason.map_or(String::new(), |reason| format!(" ({})", reason.name()));
    let since = endpoint.suspended_at.unwrap_or(endpoint.created_at);
    let metadata = endpoint.settings.metadata.entries().iter().map(|(name, text)| format!("{name}={text}"));
    let headers = endpoint.header_names.iter().map(|name| format!("{name}: {MASK}"));
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let facts = [
        ("webhook", id(endpoint, profile, profiles)),
        ("account", endpoint.account_id.clone()),
        ("url", endpoint.url.given().to_owned()),
        ("events", endpoint.events.entries().join(", ")),
        ("status", format!("{}{because} since {since}", status(endpoint))),
        ("name", or_none(endpoint.about.name.clone().unwrap_or_default())),
        ("description", or_none(endpoint.about.description.clone().unwrap_or_default())),
        ("metadata", or_none(metadata.collect::<Vec<_>>().join(", "))),
        ("headers", or_none(headers.collect::<Vec<_>>().join(", "))),
        ("sending", endpoint.settings.sending.to_string()),
        ("held", format!("{} deliveries", summary.held)),
        ("failed", format!("{} deliveries since the last success", summary.failed)),
    ];
    for (name, fact) in facts {
        say!("{name:<12} {fact}");
    }
}
