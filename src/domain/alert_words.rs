//! The words of an alert. Each channel gives them a shape of its own.

use crate::domain::{ids::AlertId, json::quote, timestamp::Timestamp};

/// The words of an alert.
#[derive(Debug, Clone)]
pub struct AlertWords {
    /// The public id.
    pub id: AlertId,
    /// When the alert was written.
    pub created_at: Timestamp,
    /// Its kind, as programs know it: `webhook.suspended`.
    pub kind: &'static str,
    /// A line for people.
    pub subject: String,
    /// What happened and what to do, in a few lines.
    pub said: String,
    /// The address of the page at the dashboard where a person acts.
    pub page: String,
    /// The text of the mail.
    pub mail: String,
    /// Everything, for programs: type, timestamp, data, as Standard Webhooks recommends it.
    pub json: String,
    /// Whether it is good news.
    pub good: bool,
}

impl AlertWords {
    /// The words of a test, which says only that alerts arrive; `base` is the address of the server, without a slash at its
    /// end.
    pub fn test(at: Timestamp, base: &str) -> Self {
        let (id, page) = (AlertId::mint(at), format!("{base}/ui/system"));
        let (title, said) = ("a test: alerts arrive here", "This is a test of alerts. Nothing is wrong.");
        let data =
            format!(r#"{{"alert_id":"{id}","title":{},"text":{},"page":{}}}"#, quote(title), quote(said), quote(&page));
        Self {
            id,
            created_at: at,
            kind: "server.test",
            subject: format!("[Ngoma] {title}"),
            said: said.to_owned(),
            mail: format!("This is a test: alerts of the Ngoma server at\n{base}\narrive here.\n\nNothing is wrong.\n"),
            json: format!(r#"{{"type":"server.test","timestamp":"{at}","data":{data}}}"#),
            page,
            good: true,
        }
    }
}
