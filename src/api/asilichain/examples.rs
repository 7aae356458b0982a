//! The part of the contract that this vendor's types cannot say: its tag, and an example of everything.

use poem_openapi::Tags;

use super::{payload_schemas, profile::SIGNATURE};
use crate::api::openapi::{
    Outgoing, Supplement,
    outgoing::{A_HEX_SIGNATURE, ANY_OTHER, DELIVERY_HEADERS, HEX_SIGNATURE, LATER, RECEIVED},
};

#[derive(Tags)]
pub(crate) enum Tag {
    /// Webhooks for the 15 events of AsiliChain. Errors: `{"error": {"code", "message", "request_id"}}`.
    #[oai(rename = "AsiliChain")]
    AsiliChain,
    /// What the server sends to the webhooks of AsiliChain's cooperatives.
    #[oai(rename = "AsiliChain deliveries")]
    Deliveries,
}

/// The examples and the signature header for the contract.
pub(crate) const SUPPLEMENT: Supplement = Supplement {
    tag: "AsiliChain",
    schemas: EXAMPLES,
    parameters: &[
        ("webhook_id", "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"),
        ("delivery_id", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"),
        ("event_id", "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P"),
        ("recovery_id", "rec_01HXYZBC3D4E5F6G7H8J9K0M1N"),
        ("event", "batch.exported"),
        ("since", "2026-04-20T00:00:00Z"),
        ("until", "2026-04-21T00:00:00Z"),
        ("q", "BATCH-2026-004821"),
        ("limit", "20"),
        ("cursor", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"),
        ("Idempotency-Key", "export-2026-004821"),
    ],
    made: payload_schemas::schemas,
    outgoing: &[Outgoing {
        tag: "AsiliChain deliveries",
        headers: &[&[(SIGNATURE, HEX_SIGNATURE, A_HEX_SIGNATURE)], DELIVERY_HEADERS],
        answers: &[
            RECEIVED,
            (
                "410",
                "Gone: no further attempt of this delivery, and the webhook is suspended at once: new deliveries are held until somebody resumes it.",
            ),
            LATER,
            ANY_OTHER,
        ],
    }],
};

const EXAMPLES: &[(&str, &str)] = &[
    ("ApiError", r#"{"error": "@ApiErrorDetail"}"#),
    (
        "ApiErrorDetail",
        r#"{"code": "WEBHOOK_NOT_FOUND", "message": "webhook not found", "request_id": "req_01HXYZ8M9N8P7Q6R5S4T3V2W1X"}"#,
    ),
    ("WebhookMetadata", r#"{"region": "north"}"#),
    ("WebhookHeaders", r#"{"x-api-key": "***"}"#),
    (
        "WebhookInput",
        r#"{"url": "https://your-system.example.com/asilichain-webhook", "events": ["batch.delivered", "batch.exported", "dds.*"], "cooperative_id": "COOP-MBALE-001", "secret": "your_webhook_signing_secret", "name": "Buyer portal", "description": "Exports and their papers; ask Rose at the head office"}"#,
    ),
    (
        "Webhook",
        r#"{"webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/asilichain-webhook", "events": ["batch.delivered", "batch.exported", "dds.*"], "cooperative_id": "COOP-MBALE-001", "status": "ACTIVE", "created_at": "2026-04-24T10:00:00Z"}"#,
    ),
    (
        "WebhookDetails",
        r#"{"@": "@Webhook", "suspended_at": null, "suspended_reason": null, "held_deliveries": 0, "failed_deliveries": 0, "recent_deliveries": [{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "status": "DELIVERED", "attempt_count": 1, "created_at": "2026-04-20T11:55:00Z", "next_attempt_at": null, "response_status": 200, "error": null, "replay_of": null, "newest_replay": null, "newest_replay_status": null, "test": false}]}"#,
    ),
    ("WebhookUpdate", r#"{"status": "ACTIVE"}"#),
    (
        "Delivery",
        r#"{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "status": "PENDING", "attempt_count": 1, "created_at": "2026-04-20T11:55:00Z", "next_attempt_at": "2026-04-20T11:55:30.112Z", "response_status": 500, "error": "status", "replay_of": null, "newest_replay": null, "newest_replay_status": null, "test": false}"#,
    ),
    ("DeliveryPage", r#"{"deliveries": ["@Delivery"], "next_cursor": null}"#),
    (
        "Attempt",
        r#"{"attempt": 1, "started_at": "2026-04-20T11:55:00.071Z", "duration_ms": 41, "response_status": 500, "response_body": "database is down", "response_truncated": false, "error": "status", "error_reason": null, "response_headers": "content-type: text/plain\nx-request-id: 7f3a\n", "next_attempt_at": "2026-04-20T11:55:30.112Z"}"#,
    ),
    ("DeliveryDetails", r#"{"@": "@Delivery", "attempts": ["@Attempt"]}"#),
    (
        "WebhookRecoveryInput",
        r#"{"since": "2026-04-20T09:00:00Z", "until": "2026-04-20T12:00:00Z", "status": "FAILED", "event": "batch.exported", "error": "status", "dry_run": true}"#,
    ),
    ("SecretRotationInput", r#"{"switch": "after_overlap"}"#),
    (
        "RotatedSecret",
        r#"{"webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "switch": "after_overlap", "former_valid_until": "2026-04-21T11:55:00Z"}"#,
    ),
    (
        "WebhookStats",
        r#"{"webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "delivered_24h": 1204, "failed_24h": 31, "success_percent_24h": 97.5, "p50_ms_24h": 84, "p95_ms_24h": 312, "waiting": 4, "held": 0, "failed_not_replayed": 1, "last_success_at": "2026-04-20T11:54:58.120Z", "last_error_at": "2026-04-20T11:55:03.007Z", "last_error": "tls", "last_error_reason": "its certificate expired on 2026-01-31", "last_error_status": null}"#,
    ),
    ("WebhookTest", r#"{"event": "batch.exported"}"#),
    (
        "WebhookTestResult",
        r#"{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "delivered": true, "response_status": 200, "duration_ms": 37, "error": null, "error_reason": null, "response_body": "{\"received\":true}", "response_headers": null}"#,
    ),
    (
        "EventInput",
        r#"{"event": "batch.exported", "cooperative_id": "COOP-MBALE-001", "data": {"batch_id": "BATCH-2026-000731", "token_id": 731, "farmer_id": "UG-MBL-2026-000317", "cooperative_id": "COOP-MBALE-001", "weight_kg": 62.5, "grade": "screen18", "ucda_export_permit": "UCDA-EXP-2026-00731", "has_active_loan": true, "auto_repayment_triggered": true, "mantle_tx_hash": "0x7b31d0"}, "created_at": "2026-04-20T11:55:00Z", "idempotency_key": "export-2026-000731"}"#,
    ),
    ("EventsInput", r#"{"events": ["@EventInput"]}"#),
    ("AcceptedEvents", r#"{"events": ["@AcceptedEvent"]}"#),
    (
        "DeliveryRef",
        r#"{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"}"#,
    ),
    (
        "AcceptedEvent",
        r#"{"event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "cooperative_id": "COOP-MBALE-001", "created_at": "2026-04-20T11:55:00Z", "deliveries": ["@DeliveryRef"]}"#,
    ),
    (
        "PublishedEvent",
        r#"{"event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "cooperative_id": "COOP-MBALE-001", "created_at": "2026-04-20T11:55:00Z", "data": {"batch_id": "BATCH-2026-000731", "weight_kg": 62.5, "grade": "screen18"}, "deliveries": [{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "status": "DELIVERED", "attempt_count": 1, "created_at": "2026-04-20T11:55:00Z", "next_attempt_at": null, "response_status": 200, "error": null, "replay_of": null, "newest_replay": null, "newest_replay_status": null, "test": false}]}"#,
    ),
    (
        "EventSummary",
        r#"{"event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "cooperative_id": "COOP-MBALE-001", "accepted_at": "2026-04-20T11:55:00.071Z", "idempotency_key": "export-2026-000731", "test": false}"#,
    ),
    ("EventPage", r#"{"events": ["@EventSummary"], "next_cursor": null}"#),
    (
        "EventType",
        r#"{"name": "batch.exported", "trigger": "UCDA export confirmed", "useful_for": "Loan repayment trigger (internal) / buyer portal", "sample": {"batch_id": "BATCH-2026-000731", "weight_kg": 62.5, "grade": "screen18"}}"#,
    ),
];
