//! The part of the contract that this vendor's types cannot say: its tag, and an example of everything.

use poem_openapi::Tags;

use super::profile::SIGNATURE;
use crate::api::openapi::{
    Outgoing, Supplement,
    outgoing::{A_HEX_SIGNATURE, ANY_OTHER, DELIVERY_HEADERS, HEX_SIGNATURE, LATER, RECEIVED},
};

#[derive(Tags)]
pub(crate) enum Tag {
    /// Webhooks for `task.settled`. Errors: `{"error": "<sentence>"}`.
    #[oai(rename = "ASG Gateway")]
    Asg,
    /// What the server sends to the webhooks of ASG Gateway's customers.
    #[oai(rename = "ASG Gateway deliveries")]
    Deliveries,
}

/// The examples and the signature header for the contract.
pub(crate) const SUPPLEMENT: Supplement = Supplement {
    tag: "ASG Gateway",
    schemas: EXAMPLES,
    parameters: &[
        ("webhook_id", "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G"),
        ("delivery_id", "dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9"),
        ("event", "task.settled"),
        ("since", "2026-04-08T20:00:00Z"),
        ("until", "2026-04-08T22:00:00Z"),
        ("q", "tsk_20260408_0042"),
        ("all", "true"),
        ("task_id", "tsk_20260408_0042"),
        ("account", "CUST-7"),
        ("recovery_id", "rec_01KP8ZM2C3D4E5F6G7H8J9K0M1"),
        ("limit", "20"),
    ],
    made: Vec::new,
    outgoing: &[Outgoing {
        tag: "ASG Gateway deliveries",
        headers: &[&[(SIGNATURE, HEX_SIGNATURE, A_HEX_SIGNATURE)], DELIVERY_HEADERS],
        answers: &[
            RECEIVED,
            ("410", "Gone: no further attempt of this delivery. The webhook stays active and gets the next event."),
            LATER,
            ANY_OTHER,
        ],
    }],
};

const EXAMPLES: &[(&str, &str)] = &[
    ("AsgError", r#"{"error": "webhook not found"}"#),
    (
        "AsgWebhookInput",
        r#"{"callback_url": "https://example.com/hooks/asg", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "events": ["task.settled"], "name": "Labelling desk"}"#,
    ),
    (
        "AsgWebhook",
        r#"{"webhook_id": "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G", "callback_url": "https://example.com/hooks/asg", "events": ["task.settled"], "active": true}"#,
    ),
    (
        "AsgWebhookDetails",
        r#"{"@": "@AsgWebhook", "active": false, "created_at": "2026-04-01T08:00:00Z", "paused_at": "2026-04-08T20:00:00Z", "paused_reason": "paused", "held_deliveries": 3, "failed_deliveries": 0, "recent_deliveries": ["@AsgDeliveryEntry"]}"#,
    ),
    ("AsgWebhookUpdate", r#"{"active": true}"#),
    ("AsgWebhookTest", r#"{"event": "task.settled"}"#),
    (
        "AsgWebhookTestResult",
        r#"{"delivery_id": "dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9", "delivered": true, "response_status": 200, "duration_ms": 38, "error": null, "error_reason": null, "response_body": "ok", "response_headers": null}"#,
    ),
    (
        "AsgDeliveryEntry",
        r#"{"delivery_id": "dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9", "webhook_id": "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G", "event_id": "evt_01KP8ZK09Z8Y7X6W5V4T3S2R1Q", "event": "task.settled", "task_id": "tsk_20260408_0042", "status": "delivered", "attempt_count": 1, "created_at": "2026-04-08T21:05:01Z", "next_attempt_at": null, "response_status": 200, "error": null, "replay_of": null, "newest_replay": null, "newest_replay_status": null, "test": false}"#,
    ),
    ("AsgDeliveryPage", r#"{"deliveries": ["@AsgDeliveryEntry"], "next_cursor": null}"#),
    ("AsgDeliveryDetails", r#"{"@": "@AsgDeliveryEntry", "attempts": ["@Attempt"]}"#),
    (
        "AsgEventInput",
        r#"{"event": "task.settled", "task_id": "tsk_20260408_0042", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "9f1c5a7be0d34c2f8a6b1e4d7c9023f5a8b6c4d2e0f1a3b5c7d9e8f6a4b2c0d1", "settled_at": "2026-04-08T21:05:00Z"}"#,
    ),
    ("AsgEventsInput", r#"{"events": ["@AsgEventInput"]}"#),
    ("AsgAcceptedEvents", r#"{"events": ["@AsgAcceptedEvent"]}"#),
    (
        "AsgDeliveryRef",
        r#"{"delivery_id": "dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9", "webhook_id": "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G"}"#,
    ),
    (
        "AsgAcceptedEvent",
        r#"{"event_id": "evt_01KP8ZK09Z8Y7X6W5V4T3S2R1Q", "event": "task.settled", "task_id": "tsk_20260408_0042", "deliveries": ["@AsgDeliveryRef"]}"#,
    ),
    (
        "AsgAttempt",
        r#"{"attempt": 1, "started_at": "2026-04-08T21:05:01.012Z", "duration_ms": 38, "response_status": 500, "error": "status", "error_reason": null, "response_headers": "content-type: text/plain\nx-request-id: 7f3a\n", "next_attempt_at": "2026-04-08T21:05:02.050Z"}"#,
    ),
    (
        "AsgDelivery",
        r#"{"delivery_id": "dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9", "webhook_id": "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G", "status": "delivered", "replay_of": null, "newest_replay": null, "newest_replay_status": null, "attempts": [{"attempt": 1, "started_at": "2026-04-08T21:05:01.012Z", "duration_ms": 38, "response_status": 200, "error": null, "error_reason": null, "response_headers": null, "next_attempt_at": null}]}"#,
    ),
    (
        "AsgRecoveryInput",
        r#"{"since": "2026-04-08T20:00:00Z", "until": null, "status": "failed", "event": "task.settled", "error": "status", "dry_run": true}"#,
    ),
    (
        "AsgRecovery",
        r#"{"recovery_id": "rec_01KP8ZM2C3D4E5F6G7H8J9K0M1", "state": "done", "matched": 12, "replayed": 12, "skipped": 0, "delivered": 11, "failed": 0, "waiting": 1, "created_at": "2026-04-08T22:00:00Z", "ended_at": "2026-04-08T22:00:01Z", "actor": "tok_01KP8ZH4S5T6V7W8X9Y0Z1A2B3", "webhook_id": "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G", "event": null, "status": "failed", "error": null, "since": "2026-04-08T20:00:00.000Z", "until": null}"#,
    ),
    ("AsgRecoveryPage", r#"{"recoveries": ["@AsgRecovery"], "next_cursor": null}"#),
    (
        "AsgTask",
        r#"{"task_id": "tsk_20260408_0042", "event_id": "evt_01KP8ZK09Z8Y7X6W5V4T3S2R1Q", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "9f1c5a7be0d34c2f8a6b1e4d7c9023f5a8b6c4d2e0f1a3b5c7d9e8f6a4b2c0d1", "settled_at": "2026-04-08T21:05:00Z", "timestamp": "2026-04-08T21:05:01Z", "callback_url": null, "webhook_status": "delivered", "webhook_fail": false, "deliveries": ["@AsgDelivery"]}"#,
    ),
    ("AsgTaskSettled", r#"{"@": "@AsgEventInput", "timestamp": "2026-04-08T21:05:01Z"}"#),
];
