//! Notices: what an account's own programs are told about its webhooks, for the contract:
//! [`Notice::json`](crate::domain::notice::Notice::json) makes them.

use poem_openapi::{
    Enum, Object, Webhook,
    payload::Json,
    registry::{MetaWebhook, Registry},
};

use super::super::examples::Tag;
use crate::api::openapi::{ErrorClass, SuspendedReason};

/// The name of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum NoticeType {
    /// A webhook was suspended, because a delivery was given up.
    #[oai(rename = "webhook.suspended")]
    Suspended,
    /// A webhook that had given up deliveries has taken one again.
    #[oai(rename = "webhook.recovered")]
    Recovered,
    /// A delivery was given up.
    #[oai(rename = "delivery.failed")]
    Failed,
}

/// A notice, as the account's programs get it.
#[derive(Debug, Object)]
pub(crate) struct Notice {
    /// Its name.
    #[oai(rename = "type")]
    kind: NoticeType,
    /// When it happened: RFC 3339, UTC.
    timestamp: String,
    /// What happened.
    data: NoticeData,
}

/// What happened. What is about a delivery is left out of `webhook.recovered`.
#[derive(Debug, Object)]
struct NoticeData {
    /// The account.
    account: String,
    /// The webhook.
    webhook_id: String,
    /// The URL of the webhook, with at most 12 characters of its path and no query.
    url: String,
    /// The delivery that was given up.
    delivery_id: Option<String>,
    /// Its event; null once that is removed.
    event_id: Option<String>,
    /// The name of its event; null once that is removed.
    event: Option<String>,
    /// How many attempts it had.
    attempts: Option<u32>,
    /// Why its last attempt failed.
    error: Option<ErrorClass>,
    /// The same in words.
    error_in_words: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    response_status: Option<u16>,
    /// Why the webhook was suspended: only in `webhook.suspended`.
    suspended_reason: Option<SuspendedReason>,
}

/// The notices, for the contract.
pub(crate) struct Notices;

impl Webhook for Notices {
    fn meta() -> Vec<MetaWebhook> {
        let all = [
            <&dyn Suspended as Webhook>::meta(),
            <&dyn Recovered as Webhook>::meta(),
            <&dyn Failed as Webhook>::meta(),
        ];
        all.into_iter().flatten().collect()
    }

    fn register(registry: &mut Registry) {
        <&dyn Suspended as Webhook>::register(registry);
        <&dyn Recovered as Webhook>::register(registry);
        <&dyn Failed as Webhook>::register(registry);
    }
}

#[Webhook(tag = "Tag::Notices")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
trait Suspended {
    /// A webhook was suspended
    ///
    /// Tells an account that one of its webhooks was suspended, because a delivery was given up, by a POST to its
    /// `alerts_url`. It changes nothing on this server but the state of the notice. A pause by a person has no notice.
    /// Signed by the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks, with the
    /// secret of the `alerts_url`.
    #[oai(name = "webhook.suspended", method = "post", operation_id = "noticeWebhookSuspended")]
    fn suspended(&self, payload: Json<Notice>);
}

#[Webhook(tag = "Tag::Notices")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
trait Recovered {
    /// A webhook has recovered
    ///
    /// Tells an account that one of its webhooks, which had given up deliveries, has taken one again, by a POST to its
    /// `alerts_url`. It changes nothing on this server but the state of the notice. Signed as `webhook.suspended`.
    #[oai(name = "webhook.recovered", method = "post", operation_id = "noticeWebhookRecovered")]
    fn recovered(&self, payload: Json<Notice>);
}

#[Webhook(tag = "Tag::Notices")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
trait Failed {
    /// A delivery was given up
    ///
    /// Tells an account that a delivery was given up, also if the webhook stays active, by a POST to its `alerts_url`: at
    /// most 60 an hour for each webhook. It changes nothing on this server but the state of the notice. Signed as
    /// `webhook.suspended`.
    #[oai(name = "delivery.failed", method = "post", operation_id = "noticeDeliveryFailed")]
    fn failed(&self, payload: Json<Notice>);
}
