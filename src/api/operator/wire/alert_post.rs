//! The POST of an alert about a webhook, for the contract:
//! [`AlertMessage::json`](crate::domain::alert_message::AlertMessage::json) makes it, and of one about the server
//! [`OperatorAlert::words`](crate::domain::operator_alert::OperatorAlert::words).

use poem_openapi::{Enum, Object, Webhook, payload::Json};

use super::{super::examples::Tag, WebhookState};
use crate::api::openapi::{ErrorClass, SuspendedReason};

/// The kind of an alert, as its POST names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum AlertPostType {
    /// A webhook was suspended.
    #[oai(rename = "webhook.suspended")]
    Suspended,
    /// A delivery has used half of its tries, or was given up.
    #[oai(rename = "webhook.warning")]
    Warning,
    /// Held deliveries will be cancelled.
    #[oai(rename = "webhook.expiring")]
    Expiring,
    /// A webhook that was suspended or failed has taken a delivery again.
    #[oai(rename = "webhook.recovered")]
    Recovered,
}

/// What an alert says. Fields that do not belong to its kind are left out.
#[derive(Debug, Object)]
struct AlertPostData {
    /// The id of the alert.
    alert_id: String,
    /// The account of the webhook.
    account: String,
    /// The profile of the account.
    profile: String,
    /// The webhook that the alert is about.
    webhook_id: String,
    /// The URL of the webhook, with at most 12 characters of its path and no query: they may hold secrets.
    url: String,
    /// The status of the webhook.
    webhook_status: WebhookState,
    /// Deliveries that are held for the webhook.
    held_deliveries: u64,
    /// Deliveries that failed since its last success and were not replayed. A resume sends them again.
    failed_deliveries: u64,
    /// The delivery that failed.
    delivery_id: Option<String>,
    /// When the first attempt of that delivery began, or when the alert was made after which the webhook works again: RFC
    /// 3339, UTC.
    failing_since: Option<String>,
    /// Why it failed last.
    error: Option<ErrorClass>,
    /// The same in words for people.
    error_in_words: Option<String>,
    /// The reason in words for people, if there is one.
    error_reason: Option<String>,
    /// The HTTP status of the last answer, if there was one.
    response_status: Option<u16>,
    /// Why the webhook was suspended.
    suspended_reason: Option<SuspendedReason>,
    /// How many tries of its schedule the delivery has used.
    tries: Option<u32>,
    /// How many tries its schedule has.
    max_tries: Option<u32>,
    /// When the delivery is tried again; left out if it was given up.
    next_attempt_at: Option<String>,
    /// How many held deliveries will be cancelled.
    expiring_deliveries: Option<u64>,
    /// When the oldest of them was made: RFC 3339, UTC.
    oldest_created_at: Option<String>,
    /// From when on they are cancelled: RFC 3339, UTC.
    cancelled_from: Option<String>,
    /// The page of the webhook in the dashboard.
    page: String,
    /// The command that shows the webhook.
    look: String,
    /// The command that tests the webhook, if its platform has one.
    test: Option<String>,
    /// The command that resumes the webhook, if its platform has one.
    resume: Option<String>,
}

/// An alert, as the operator's webhook gets it.
#[derive(Debug, Object)]
pub(crate) struct AlertPost {
    /// Its kind.
    #[oai(rename = "type")]
    kind: AlertPostType,
    /// When it was made: RFC 3339, UTC.
    timestamp: String,
    /// What it says.
    data: AlertPostData,
}

/// The kind of an alert about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum ServerAlertType {
    /// The disk of the database is nearly full.
    #[oai(rename = "server.disk_low")]
    Disk,
    /// There is no backup, or the last one is too old.
    #[oai(rename = "server.backup_old")]
    Backup,
    /// The last backup is made, but event bodies in it are damaged, as in the database.
    #[oai(rename = "server.backup_damaged")]
    Damaged,
    /// The server came back after it did not end as it should.
    #[oai(rename = "server.restarted")]
    Crash,
    /// The clock was set by a minute or more.
    #[oai(rename = "server.clock_set")]
    Clock,
    /// Everybody on the machine may read a file that holds a secret.
    #[oai(rename = "server.file_exposed")]
    Exposed,
    /// The database has reached its largest size: the oldest delivered deliveries go sooner.
    #[oai(rename = "server.room_reached")]
    Room,
    /// The database is larger than it may be, and nothing more may go.
    #[oai(rename = "server.room_full")]
    Full,
    /// The server's own certificate ends soon, or could not be renewed.
    #[oai(rename = "server.certificate_old")]
    Certificate,
    /// The server has no certificate that clients take: it has expired, is not valid yet, or there is none.
    #[oai(rename = "server.certificate_expired")]
    Expired,
    /// The database was restored from a backup: what was accepted after it is lost.
    #[oai(rename = "server.restored")]
    Restored,
    /// What an earlier one told of is over.
    #[oai(rename = "server.recovered")]
    Over,
    /// A test that somebody asked for: nothing is wrong.
    #[oai(rename = "server.test")]
    Test,
}

/// What an alert about the server says.
#[derive(Debug, Object)]
struct ServerAlertData {
    /// The id of the alert.
    alert_id: String,
    /// In a few words, for people.
    title: String,
    /// What happened, in a sentence or two.
    text: String,
    /// What a person does about it. Left out of a test.
    remedy: Option<String>,
    /// The page of the server in the dashboard.
    page: String,
}

/// An alert about the server, as the operator's webhook gets it.
#[derive(Debug, Object)]
pub(crate) struct ServerAlertPost {
    /// Its kind.
    #[oai(rename = "type")]
    kind: ServerAlertType,
    /// When it was made: RFC 3339, UTC.
    timestamp: String,
    /// What it says.
    data: ServerAlertData,
}

/// The alerts, for the contract.
#[Webhook(tag = "Tag::Alerts")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait Posts {
    /// An alert for the operator
    ///
    /// Tells the person who runs the server that a webhook was suspended, fails, or has held deliveries that will be
    /// cancelled, by a POST to each channel of the kind `standard`. It changes nothing on this server but the state of the alert in
    /// this channel. Signed by the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks,
    /// with the secret of the channel.
    #[oai(name = "alert", method = "post", operation_id = "operatorAlert")]
    fn alert(&self, payload: Json<AlertPost>);
}

/// The alerts about the server, for the contract.
#[Webhook(tag = "Tag::Alerts")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait ServerPosts {
    /// An alert about the server
    ///
    /// Tells the person who runs the server that the server itself needs a person: its disk, its backups, its clock. It is
    /// a POST to each channel of the kind `standard`, and changes nothing on this server but the state of the alert in
    /// this channel. Signed as the alerts about webhooks.
    #[oai(name = "serverAlert", method = "post", operation_id = "operatorServerAlert")]
    fn server_alert(&self, payload: Json<ServerAlertPost>);
}
