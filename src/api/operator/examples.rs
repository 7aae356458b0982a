//! The part of the contract that the types of these routes cannot say: their tag, and an example of everything.

use poem_openapi::Tags;

use crate::api::openapi::{Outgoing, Supplement, outgoing::Header};

#[derive(Tags)]
pub(crate) enum Tag {
    /// For the person who runs the server: everything in every account. Needs a token with the scope `operator`.
    /// Errors: `{"error": {"code", "message", "request_id"}}`.
    Operator,
    /// What the server sends to the webhook of the person who runs it.
    #[oai(rename = "Operator alerts")]
    Alerts,
    /// What the server sends to the `alerts_url` of an account.
    #[oai(rename = "Account notices")]
    Notices,
}

/// Stands for the name of a profile; `api/mod.rs` puts a name in its place.
pub(crate) const A_VENDOR: &str = "{vendor}";

/// The examples for the contract.
pub(crate) const SUPPLEMENT: Supplement = Supplement {
    tag: "Operator",
    schemas: EXAMPLES,
    parameters: &[
        ("account_id", "COOP-MBALE-001"),
        ("token_id", "tok_01HXYZ9R4S5T6V7W8X9Y0Z1A2B"),
        ("webhook_id", "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"),
        ("delivery_id", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"),
        ("recovery_id", "rec_01HXYZBC3D4E5F6G7H8J9K0M1N"),
        ("retry_id", "rec_01HXYZBC3D4E5F6G7H8J9K0M1N"),
        ("event", "batch.exported"),
        ("status", "FAILED"),
        ("error", "timeout"),
        ("created_from", "2026-04-20T00:00:00Z"),
        ("created_to", "2026-04-21T00:00:00Z"),
        ("since", "2026-04-20T00:00:00Z"),
        ("until", "2026-04-21T00:00:00Z"),
        ("q", "BATCH-2026-004821"),
        ("url", "example.com"),
        ("action", "webhook.suspended"),
        ("limit", "20"),
    ],
    made: Vec::new,
    outgoing: &[
        Outgoing { tag: "Operator alerts", headers: &[ALERT_HEADERS], answers: ALERT_ANSWERS },
        Outgoing { tag: "Account notices", headers: &[NOTICE_HEADERS], answers: NOTICE_ANSWERS },
    ],
};

/// The headers of an alert.
const ALERT_HEADERS: &[Header] = &[
    ("webhook-id", "The alert's id, the same on every try: handle it once.", "alr_01HXYZCD4E5F6G7H8J9K0M1N2P"),
    ("webhook-timestamp", "When this try was made, in seconds since 1970.", "1776695430"),
    (
        "webhook-signature",
        "Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, keyed with `alerts.webhook_secret`.",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
];

/// The answers of the operator's webhook, and the result of each.
const ALERT_ANSWERS: &[(&str, &str)] = &[
    ("2XX", "Received: the alert is sent."),
    ("410", "Gone: this alert is given up at once. It suspends nothing; the next alert is sent."),
    ("4XX", "Refused: tried again for 7 days, then given up. 429 is tried again like any other answer."),
    (
        "default",
        "Any other answer, also a redirect, or no answer within the time-out: tried again after 5 s, 15 s, 1 min and 10 min, then every hour.",
    ),
];

/// The headers of a notice.
const NOTICE_HEADERS: &[Header] = &[
    ("webhook-id", "The notice's id, the same on every try: handle it once.", "alr_01HXYZCE5F6G7H8J9K0M1N2P3Q"),
    ("webhook-timestamp", "When this try was made, in seconds since 1970.", "1776695430"),
    (
        "webhook-signature",
        "Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, keyed with the secret of the `alerts_url`.",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
];

/// The answers to a notice, and the result of each.
const NOTICE_ANSWERS: &[(&str, &str)] = &[
    ("2XX", "Received: the notice is sent."),
    ("410", "Gone: this notice is not sent again. The next notice is sent."),
    (
        "default",
        "Any other answer, also a redirect, or no answer within the time-out: sent again after 5 s, 15 s, 1 min and 10 min, then every hour, for 7 days.",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("AttemptSlot", r#"{"start": "2026-04-20T11:55:00Z", "delivered": 118, "failed": 3}"#),
    ("DeliveryCounts", r#"{"pending": 4, "in_flight": 1, "held": 0, "failed": 12}"#),
    ("WebhookCounts", r#"{"active": 37, "failing": 1, "suspended": 0}"#),
    (
        "Overview",
        r#"{"at": "2026-04-20T11:55:09.400Z", "deliveries": "@DeliveryCounts", "due_since": "2026-04-20T11:55:09.250Z", "oldest_due_ms": 150, "webhooks": "@WebhookCounts", "failing_webhooks": ["@WebhookReport"], "last_hour": ["@AttemptSlot"], "last_day": [{"start": "2026-04-20T11:00:00Z", "delivered": 6120, "failed": 44}]}"#,
    ),
    (
        "WebhookReport",
        r#"{"webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "account_id": "COOP-MBALE-001", "profile": "{vendor}", "url": "https://your-system.example.com/webhook", "events": ["batch.*"], "status": "ACTIVE", "failing": true, "created_at": "2026-04-01T08:00:00Z", "suspended_at": null, "suspended_reason": null, "delivered_24h": 1204, "failed_24h": 31, "success_percent_24h": 97.5, "p95_ms_24h": 350, "waiting": 4, "held": 0, "failed_deliveries": 0, "last_success_at": "2026-04-20T11:54:58.120Z", "last_error_at": "2026-04-20T11:55:03.007Z", "last_error": "status", "last_error_status": 503}"#,
    ),
    ("WebhookReportPage", r#"{"webhooks": ["@WebhookReport"], "next_cursor": null}"#),
    ("WebhookHistory", r#"{"@": "@WebhookReport", "last_week": ["@AttemptSlot"]}"#),
    (
        "DeliveryReport",
        r#"{"delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "account_id": "COOP-MBALE-001", "profile": "{vendor}", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/webhook", "event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "status": "FAILED", "attempt_count": 5, "created_at": "2026-04-20T11:55:00Z", "next_attempt_at": null, "response_status": 503, "error": "status", "replay_of": null, "newest_replay": "dlv_01HXYZG8K9M0N1P2Q3R4S5T6V7", "newest_replay_status": "DELIVERED", "test": false}"#,
    ),
    ("DeliveryReportPage", r#"{"deliveries": ["@DeliveryReport"], "next_cursor": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"}"#),
    ("RequestHeader", r#"{"name": "webhook-id", "value": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P"}"#),
    (
        "DeliveryRequest",
        r#"{"method": "POST", "url": "https://your-system.example.com/webhook", "headers": [{"name": "content-type", "value": "application/json"}, {"name": "webhook-signature", "value": "v1,***"}, "@RequestHeader"], "body": "{\"webhook_id\":\"wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\",\"event\":\"batch.exported\",\"api_version\":\"2026-04-01\",\"created_at\":\"2026-04-20T11:55:00Z\",\"data\":{\"batch_id\":\"BATCH-2026-000731\"}}"}"#,
    ),
    (
        "DeliveryReportDetails",
        r#"{"@": "@DeliveryReport", "attempts": [{"attempt": 5, "started_at": "2026-04-20T14:30:30.071Z", "duration_ms": 41, "response_status": 503, "response_body": "database is down", "response_truncated": false, "error": "status", "error_reason": null, "response_headers": "content-type: text/plain\nx-request-id: 7f3a\n", "next_attempt_at": null}], "request": "@DeliveryRequest"}"#,
    ),
    (
        "RecoveryInput",
        r#"{"account_id": "COOP-MBALE-001", "event": "batch.exported", "status": "FAILED", "error": "status", "since": "2026-04-20T00:00:00Z", "dry_run": true}"#,
    ),
    ("RecoveryCount", r#"{"matched": 10000, "skipped": 0, "complete": true}"#),
    (
        "Recovery",
        r#"{"recovery_id": "rec_01HXYZBC3D4E5F6G7H8J9K0M1N", "state": "RUNNING", "matched": 10000, "replayed": 2300, "skipped": 0, "delivered": 2201, "failed": 0, "waiting": 99, "created_at": "2026-04-20T15:00:00Z", "ended_at": null, "actor": "tok_01HXYZ9R4S5T6V7W8X9Y0Z1A2B", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "event": "batch.exported", "status": "FAILED", "error": "status", "since": "2026-04-20T00:00:00.000Z", "until": null}"#,
    ),
    ("RecoveryPage", r#"{"recoveries": ["@Recovery"], "next_cursor": null}"#),
    ("RecoveryReport", r#"{"@": "@Recovery", "account_id": "COOP-MBALE-001", "url": null, "delivery_id": null}"#),
    ("RecoveryReportPage", r#"{"recoveries": ["@RecoveryReport"], "next_cursor": null}"#),
    (
        "Retry",
        r#"{"@": "@RecoveryReport", "retry_id": "rec_01HXYZBC3D4E5F6G7H8J9K0M1N", "created_from": "2026-04-20T00:00:00.000Z", "created_to": null}"#,
    ),
    ("RetryPage", r#"{"retries": ["@Retry"], "next_cursor": null}"#),
    ("AccountInput", r#"{"account_id": "COOP-MBALE-001", "profile": "{vendor}", "alert_email": "ops@coop.example"}"#),
    ("AccountUpdate", r#"{"alert_email": "desk@coop.example", "alerts_url": "https://coop.example/ngoma"}"#),
    (
        "ChangedAccount",
        r#"{"account_id": "COOP-MBALE-001", "profile": "{vendor}", "alert_email": "desk@coop.example", "alerts_url": "https://coop.example/ngoma", "created_at": "2026-04-01T08:00:00Z"}"#,
    ),
    (
        "Account",
        r#"{"account_id": "COOP-MBALE-001", "profile": "{vendor}", "alert_email": "ops@coop.example", "alerts_url": "https://coop.example/ngoma", "created_at": "2026-04-01T08:00:00Z"}"#,
    ),
    (
        "Notice",
        r#"{"type": "delivery.failed", "timestamp": "2026-04-20T14:30:30Z", "data": {"account": "COOP-MBALE-001", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/webhook", "delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "event_id": "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P", "event": "batch.exported", "attempts": 5, "error": "status", "error_in_words": "the receiver has an error of its own", "response_status": 503}}"#,
    ),
    (
        "NoticeData",
        r#"{"account": "COOP-MBALE-001", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/webhook"}"#,
    ),
    ("AccountPage", r#"{"accounts": ["@Account"], "next_cursor": null}"#),
    (
        "TokenInput",
        r#"{"account_id": "COOP-MBALE-001", "scopes": ["webhooks", "events"], "label": "export desk", "expires_in": 7776000}"#,
    ),
    (
        "CreatedToken",
        r#"{"token_id": "tok_01HXYZ9R4S5T6V7W8X9Y0Z1A2B", "token": "ngm_...", "expires_at": "2026-06-30T08:00:00Z"}"#,
    ),
    (
        "Token",
        r#"{"token_id": "tok_01HXYZ9R4S5T6V7W8X9Y0Z1A2B", "account_id": "COOP-MBALE-001", "profile": "{vendor}", "scopes": ["webhooks", "events"], "label": "export desk", "created_at": "2026-04-01T08:00:00Z", "last_used_at": "2026-04-20T11:54:00Z", "expires_at": "2026-06-30T08:00:00Z"}"#,
    ),
    ("SignInLinkInput", r#"{"account": "COOP-MBALE-001", "expires_in": 900}"#),
    (
        "SignInLink",
        r#"{"account": "COOP-MBALE-001", "url": "https://hooks.coop.example/ui/enter/...", "expires_at": "2026-04-20T12:10:00Z"}"#,
    ),
    ("TokenPage", r#"{"tokens": ["@Token"], "next_cursor": null}"#),
    (
        "AlertWay",
        r#"{"channel": "mail", "standing": "DUE", "at": "2026-04-20T14:30:45.112Z", "tries": 1, "last_error": "the mail server cannot be reached"}"#,
    ),
    (
        "Alert",
        r#"{"alert_id": "alr_01HXYZCD4E5F6G7H8J9K0M1N2P", "kind": "SUSPENDED", "created_at": "2026-04-20T14:30:30.112Z", "account_id": "COOP-MBALE-001", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/webhook", "webhook_status": "SUSPENDED", "suspended_reason": "exhausted", "held": 7, "failed_deliveries": 1, "delivery_id": "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "error": "status", "error_reason": null, "response_status": 503, "since": "2026-04-20T11:55:00.071Z", "ways": [{"channel": "log", "standing": "TOLD", "at": "2026-04-20T14:30:30.120Z", "tries": 1, "last_error": null}, "@AlertWay"]}"#,
    ),
    (
        "AlertPostData",
        r#"{"alert_id": "alr_01HXYZCD4E5F6G7H8J9K0M1N2P", "account": "COOP-MBALE-001", "profile": "{vendor}", "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "url": "https://your-system.example.com/webhook", "webhook_status": "SUSPENDED", "held_deliveries": 7, "failed_deliveries": 1, "page": "https://hooks.coop.example/ui/webhooks/wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "look": "curl -H \"Authorization: Bearer $TOKEN\" https://hooks.coop.example/webhooks/wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"}"#,
    ),
    ("AlertPost", r#"{"type": "webhook.suspended", "timestamp": "2026-04-20T14:30:30Z", "data": "@AlertPostData"}"#),
    (
        "ServerAlertData",
        r#"{"alert_id": "alr_01HXYZCD4E5F6G7H8J9K0M1N2P", "title": "there is no fresh backup", "text": "There is no backup in /var/lib/ngoma/backups.", "remedy": "Make a backup: press the button on the System page, or run 'ngoma backup FILE'.", "page": "https://hooks.coop.example/ui/system"}"#,
    ),
    (
        "ServerAlertPost",
        r#"{"type": "server.backup_old", "timestamp": "2026-04-20T14:30:30Z", "data": "@ServerAlertData"}"#,
    ),
    ("AlertPage", r#"{"unsent": 1, "alerts": ["@Alert"], "next_cursor": null}"#),
    (
        "AuditEntry",
        r#"{"at": "2026-04-20T14:30:30.112Z", "actor": "engine", "account_id": "COOP-MBALE-001", "action": "webhook.suspended", "subject": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "note": "exhausted"}"#,
    ),
    ("AuditPage", r#"{"entries": ["@AuditEntry"], "next_cursor": "4711"}"#),
];
