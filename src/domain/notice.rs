//! Notices: events about an account's own webhooks, for the account's programs. Pure: everything in one comes from its row.

use serde_json::{Map, Value, json};

use crate::domain::{
    alert_message::in_words,
    delivery::Failure,
    endpoint::{SuspendedReason, masked},
    ids::{AlertId, DeliveryId, EndpointId, EventId},
    profile::Profile,
    timestamp::Timestamp,
};

/// The kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A webhook was suspended, because a delivery was given up.
    Suspended,
    /// A webhook that had given up deliveries has taken one again.
    Recovered,
    /// A delivery was given up.
    Failed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Suspended, Self::Recovered, Self::Failed];

    /// As it is stored and sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "webhook.suspended",
            Self::Recovered => "webhook.recovered",
            Self::Failed => "delivery.failed",
        }
    }
}

/// The delivery that was given up.
#[derive(Debug)]
pub struct Failed {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its event; `None` once it is removed.
    pub event: Option<EventId>,
    /// The name of its event; `None` once it is removed.
    pub kind: Option<String>,
    /// Why its last attempt failed.
    pub failure: Failure,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// How many attempts it had.
    pub attempts: u32,
}

/// A notice.
#[derive(Debug)]
pub struct Notice {
    /// The public id: the `webhook-id`, the same at every try.
    pub id: AlertId,
    /// Its kind.
    pub kind: Kind,
    /// When it was written.
    pub created_at: Timestamp,
    /// The public id of the account.
    pub account: String,
    /// The name of its profile.
    pub profile: String,
    /// The webhook.
    pub endpoint: EndpointId,
    /// The present URL of the webhook.
    pub url: String,
    /// The delivery that was given up.
    pub failed: Option<Failed>,
    /// Why the webhook was suspended.
    pub reason: Option<SuspendedReason>,
}

impl Notice {
    /// The body of the POST, as Standard Webhooks recommends it: type, timestamp, data.
    pub fn json(&self, profile: &Profile) -> String {
        let mut data = Map::new();
        data.insert("account".to_owned(), json!(self.account));
        data.insert("webhook_id".to_owned(), json!(self.endpoint.on_wire(profile.endpoint_prefix)));
        data.insert("url".to_owned(), json!(masked(&self.url)));
        if let Some(failed) = &self.failed {
            data.insert("delivery_id".to_owned(), json!(failed.delivery.to_string()));
            data.insert("event_id".to_owned(), json!(failed.event.map(|id| id.to_string())));
            data.insert("event".to_owned(), json!(failed.kind));
            data.insert("attempts".to_owned(), json!(failed.attempts));
            data.insert("error".to_owned(), json!(failed.failure.name()));
            data.insert("error_in_words".to_owned(), json!(in_words(failed.failure, failed.status)));
            data.insert("response_status".to_owned(), json!(failed.status));
        }
        if let Some(reason) = self.reason {
            data.insert("suspended_reason".to_owned(), json!(reason.name()));
        }
        let body =
            json!({ "type": self.kind.name(), "timestamp": self.created_at.to_string(), "data": Value::Object(data) });
        body.to_string()
    }
}
