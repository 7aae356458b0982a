//! The text of an alert: the mail, and the body of the POST. Pure: everything in it comes from the alert.

use std::{borrow::Cow, fmt::Write};

use url::Url;

use crate::{
    config::command,
    domain::{
        alert::{Alert, Kind, NOTICE, What},
        alert_words::AlertWords,
        delivery::Failure,
        endpoint::{EndpointState, SuspendedReason},
        ids::AlertId,
        json::quote,
        profile::{ByHand, Profile, WhenExhausted},
        text::is_hidden,
        zone::Zone,
    },
};

/// An alert, with its profile and the server's address, which its text needs.
#[derive(Debug, Clone, Copy)]
pub struct AlertMessage<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The endpoint's profile.
    pub profile: &'a Profile,
    /// The base of the server's URLs, without a slash at its end.
    pub base: &'a str,
    /// The time zone of its readers.
    pub zone: &'a Zone,
}

impl AlertMessage<'_> {
    /// All its words.
    pub fn words(&self) -> AlertWords {
        AlertWords {
            id: self.alert.id,
            created_at: self.alert.created_at,
            kind: match self.alert.kind() {
                Kind::Suspended => "webhook.suspended",
                Kind::Warning => "webhook.warning",
                Kind::Expiring => "webhook.expiring",
                Kind::Recovered => "webhook.recovered",
            },
            subject: self.subject(),
            said: self.in_short(),
            page: self.page(),
            mail: self.text(),
            json: self.json(),
            good: self.alert.kind() == Kind::Recovered,
        }
    }

    /// The webhook's id, as its owner knows it.
    pub fn webhook(&self) -> String {
        self.alert.endpoint.on_wire(self.profile.endpoint_prefix)
    }

    /// The address of the webhook's page at the dashboard.
    pub fn page(&self) -> String {
        format!("{}/ui/webhooks/{}", self.base, self.webhook())
    }

    /// The command lines that a person may run.
    pub fn by_hand(&self) -> ByHand {
        (self.profile.by_hand)(self.base, &self.webhook())
    }

    /// The subject of the mail: account, host and event.
    pub fn subject(&self) -> String {
        let what = match self.alert.what {
            What::Suspended(..) if self.alert.state == EndpointState::Suspended => "is SUSPENDED",
            What::Suspended(..) => "was suspended",
            What::Warning { .. } if self.is_damaged() => "will not get a delivery: its body is damaged",
            What::Warning { next_attempt_at: Some(_), .. } => "is failing",
            What::Warning { next_attempt_at: None, .. } => "missed a delivery",
            What::Expiring { .. } => "has deliveries that will be cancelled",
            What::Recovered(_) => "works again",
        };
        one_line(&format!("[Ngoma] {}: the webhook at {} {what}", self.alert.account, self.host()))
    }

    /// What happened, and what to do.
    fn said(&self) -> String {
        format!("{}\n{}", self.opening(), self.advice())
    }

    /// For a chat: the same in a line for each paragraph, then which webhook it is and why it failed.
    fn in_short(&self) -> String {
        let mut text = format!("{}\n{}", unwrapped(&self.opening()), unwrapped(&self.advice()));
        let _ = write!(text, "\nwebhook: {} at {}", self.webhook(), one_line(&self.alert.masked_url()));
        if let Some(error) = self.last_error() {
            let _ = write!(text, "\nlast error: {error}");
        }
        text
    }

    /// Why its delivery failed last, in a line.
    pub(super) fn last_error(&self) -> Option<String> {
        let failing = self.alert.failing()?;
        let words = in_words(failing.failure, failing.status);
        let status = failing.status.filter(|status| !words.contains(&status.to_string()));
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        let reason = failing.reason_for_account().map_or_else(String::new, |reason| format!("; {}", one_line(reason)));
        Some(format!("{words}{status}{reason}"))
    }

    /// The next step of a person.
    fn advice(&self) -> Cow<'static, str> {
        let advice = match (self.alert.state, &self.alert.what) {
            (EndpointState::Deleted, _) => "The webhook was deleted since: nothing is left to do.",
            (_, What::Recovered(_)) => "Nothing is left to do.",
            (EndpointState::Active, What::Suspended(..) | What::Expiring { .. }) => {
                "The webhook was resumed since. If all is well, nothing is left to do."
            }
            (_, What::Suspended(..)) => {
                "Repair the receiver, send it a test, then resume the webhook: its page has a\nbutton for both."
            }
            (_, What::Warning { .. }) if self.is_damaged() => {
                return format!(
                    "The receiver is not at fault. Publish the event again, under another key.\nThe operator of the server runs '{}' and looks at its disk.",
                    command("check")
                )
                .into();
            }
            (_, What::Warning { .. }) => "Look at the receiver now: its page shows what it answered.",
            (_, What::Expiring { .. }) => "Resume the webhook on its page, or let them go.",
        };
        advice.into()
    }

    /// The text of the mail, for a tired reader: the link first, then what happened and what to do, then the facts, and
    /// commands last. Lines are short.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n\n", self.page(), self.said());
        self.put_facts(&mut text);
        if self.alert.state == EndpointState::Deleted || self.alert.kind() == Kind::Recovered {
            return self.close(text);
        }
        let by_hand = self.by_hand();
        text.push_str("\nThe same by commands. Look at its deliveries and the answers to them:\n");
        paste(&mut text, &by_hand.look);
        if let Some(test) = by_hand.test.as_ref().filter(|_| !self.is_damaged()) {
            text.push_str("\nWhen the receiver is repaired, send it a test:\n");
            paste(&mut text, test);
        }
        if self.alert.state == EndpointState::Suspended {
            self.say_how_to_resume(&mut text, by_hand.resume.as_deref());
        }
        text.push_str("\n$TOKEN is a token of this account with the scope \"webhooks\".\n");
        self.close(text)
    }

    /// Adds the facts, one a line.
    pub(super) fn put_facts(&self, text: &mut String) {
        for (name, value) in self.facts() {
            let _ = writeln!(text, "  {name:<15}{}", one_line(&value));
        }
    }

    /// Adds the deliveries that a resume sends, and the commands for it: by the API, if the profile has such a route,
    /// and on the server.
    fn say_how_to_resume(&self, text: &mut String, line: Option<&str>) {
        let resuming = self.alert.resuming();
        text.push_str(if resuming.is_nothing() { "\nResume the webhook:\n" } else { "\nResume the webhook. Then\n" });
        if !resuming.is_nothing() {
            let _ = writeln!(text, "{resuming}:");
        }
        line.into_iter().for_each(|line| paste(text, line));
        let command = command(&format!("webhooks resume {}", self.webhook()));
        if line.is_some() {
            text.push_str("\nOr, in a shell on the server:\n");
        }
        paste(text, &command);
        if resuming.resent > 0 {
            text.push_str(match line {
                Some(_) => "\nTo leave the failed ones, add \"resend_failed\":false to the first line's JSON,\nor --leave-failed to the second line.\n",
                None => "\nTo leave the failed ones, add --leave-failed.\n",
            });
        }
    }

    /// The body of the POST, as Standard Webhooks recommends it: type, timestamp, data.
    pub fn json(&self) -> String {
        let alert = self.alert;
        let mut data = String::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let comma = if data.is_empty() { "" } else { "," };
                let _ = write!(data, "{comma}{}:{value}", quote(name));
            }
        };
        let text = |text: &str| Some(quote(text));
        put("alert_id", text(&alert.id.to_string()));
        put("account", text(&alert.account));
        put("profile", text(&alert.profile));
        put("webhook_id", text(&self.webhook()));
        put("url", text(&alert.masked_url()));
        put("webhook_status", text(state(alert.state)));
        put("held_deliveries", Some(alert.held.to_string()));
        put("failed_deliveries", Some(alert.failed.to_string()));
        if let Some(failing) = alert.failing() {
            put("delivery_id", failing.delivery.map(|id| quote(&id.to_string())));
            put("failing_since", text(&failing.since.to_string()));
            put("error", text(failing.failure.name()));
            put("error_in_words", text(in_words(failing.failure, failing.status)));
            put("error_reason", failing.reason.as_deref().map(quote));
            put("response_status", failing.status.map(|status| status.to_string()));
        }
        match &alert.what {
            What::Suspended(_, reason) => put("suspended_reason", reason.map(|reason| quote(reason.name()))),
            What::Warning { tries, next_attempt_at, .. } => {
                put("tries", Some(tries.to_string()));
                put("max_tries", Some(self.profile.retry.max_attempts.to_string()));
                put("next_attempt_at", next_attempt_at.map(|at| quote(&at.to_string())));
            }
            What::Expiring { held, oldest } => {
                put("expiring_deliveries", Some(held.to_string()));
                put("oldest_created_at", text(&oldest.to_string()));
                put("cancelled_from", text(&(alert.created_at + NOTICE).to_string()));
            }
            What::Recovered(since) => put("failing_since", text(&since.to_string())),
        }
        let by_hand = self.by_hand();
        put("page", text(&self.page()));
        put("look", text(&unbroken(&by_hand.look)));
        put("test", by_hand.test.map(|line| quote(&unbroken(&line))));
        put("resume", by_hand.resume.map(|line| quote(&unbroken(&line))));
        let (kind, at) = (alert.kind().name(), alert.created_at);
        format!(r#"{{"type":"webhook.{kind}","timestamp":"{at}","data":{{{data}}}}}"#)
    }

    /// Whether it is about a delivery whose stored body is damaged.
    pub fn is_damaged(&self) -> bool {
        self.alert.failing().is_some_and(|failing| failing.failure == Failure::Damaged)
    }

    pub(super) fn host(&self) -> String {
        let url = Url::parse(&self.alert.url).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "an unknown host".to_owned())
    }

    fn opening(&self) -> String {
        let whose = format!("The webhook of {} at {}", one_line(&self.alert.account), self.host());
        match &self.alert.what {
            What::Suspended(..) if self.alert.state != EndpointState::Suspended => format!("{whose}\nwas suspended."),
            What::Suspended(..) => {
                format!("{whose}\nis SUSPENDED: nothing is sent to it any more.\nNew deliveries are held.")
            }
            What::Warning { .. } if self.is_damaged() => {
                format!(
                    "{whose}\nwill not get a delivery: its body was damaged on the disk of the Ngoma server.\nIt was not sent."
                )
            }
            What::Warning { tries, next_attempt_at: Some(_), .. } => format!(
                "{whose}\ndid not take a delivery, {tries} times of {}.\nWhen all have failed it is suspended{}.",
                self.profile.retry.max_attempts,
                match self.profile.when_exhausted {
                    WhenExhausted::SuspendIfDead => ",\nunless another delivery has arrived meanwhile",
                    WhenExhausted::Suspend | WhenExhausted::StayActive => "",
                }
            ),
            What::Warning { tries, next_attempt_at: None, .. } => format!(
                "{whose}\ndid not take a delivery, which was given up after {}.\nThe webhook stays active.",
                counted(u64::from(*tries), "attempt")
            ),
            What::Expiring { held, .. } => format!(
                "{whose}\nis suspended, and {} held for it for long.\nFrom {} on they are CANCELLED, the oldest first.",
                if *held == 1 { "1 delivery is".to_owned() } else { format!("{held} deliveries are") },
                self.zone.show(self.alert.created_at + NOTICE)
            ),
            What::Recovered(_) => format!("{whose}\nworks again: it has taken a delivery."),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let alert = self.alert;
        let mut facts = vec![("webhook", self.webhook()), ("URL", alert.masked_url())];
        match &alert.what {
            What::Suspended(_, reason) => {
                facts.push(("suspended", self.zone.show(alert.created_at)));
                facts.extend(reason.map(|reason| ("because", why_suspended(reason).to_owned())));
            }
            What::Warning { next_attempt_at, .. } => {
                facts.extend(next_attempt_at.map(|at| ("next attempt", self.zone.show(at))));
            }
            What::Expiring { oldest, .. } => facts.push(("oldest", self.zone.show(*oldest))),
            What::Recovered(since) => {
                facts.push(("alert of", self.zone.show(*since)));
                facts.push(("works since", self.zone.show(alert.created_at)));
            }
        }
        if let Some(failing) = alert.failing() {
            facts.push(("failing since", self.zone.show(failing.since)));
            facts.push(("last error", in_words(failing.failure, failing.status).to_owned()));
            facts.extend(failing.reason_for_account().map(|reason| ("reason", reason.to_owned())));
            facts.extend(failing.status.map(|status| ("status", status.to_string())));
            facts.extend(failing.delivery.map(|id| ("delivery", id.to_string())));
        }
        if alert.state == EndpointState::Suspended || alert.held > 0 {
            facts.push(("held now", counted(alert.held, "delivery")));
        }
        if alert.state == EndpointState::Suspended || alert.failed > 0 {
            facts.push((
                "failed",
                format!("{} since its last success, not replayed", counted(alert.failed, "delivery")),
            ));
        }
        facts
    }

    fn close(&self, mut text: String) -> String {
        close(&mut text, self.zone, self.alert.id);
        text
    }
}

/// Adds the last lines of a mail.
pub(super) fn close(text: &mut String, zone: &Zone, id: AlertId) {
    let _ = write!(text, "\n{}\nNgoma sent this by itself, as {id}.\n", zone.said());
}

/// A failure in words, for readers who do not know the error classes.
pub const fn in_words(failure: Failure, status: Option<u16>) -> &'static str {
    match failure {
        Failure::Dns => "the name of its host could not be looked up",
        Failure::Blocked => "its address is not allowed by the rules of [egress]",
        Failure::Connect => "nothing accepted the connection",
        Failure::Tls => "TLS failed: the certificate, its name or its date",
        Failure::Timeout => "no answer came in time",
        Failure::Reset => "the connection broke before an answer came",
        Failure::Protocol => "the answer is not HTTP",
        Failure::Interrupted => "Ngoma was stopped meanwhile",
        Failure::Damaged => "its body is damaged on the disk of the Ngoma server",
        Failure::Status => match status {
            Some(410) => "it answered 410: gone for good",
            Some(300..=399) => "it answered with a redirect, which is not followed",
            Some(401 | 403) => "the receiver does not let us in",
            Some(404) => "there is nothing at this URL",
            Some(413) => "the delivery is too large for it",
            Some(429) => "it says that it gets too many requests",
            Some(500..=599) => "the receiver has an error of its own",
            _ => "it did not answer with a 2xx status",
        },
    }
}

/// Why an endpoint was suspended, in words.
pub const fn why_suspended(reason: SuspendedReason) -> &'static str {
    match reason {
        SuspendedReason::Exhausted => "every attempt of a delivery failed",
        SuspendedReason::Dead => "every attempt failed; nothing else was delivered meanwhile",
        SuspendedReason::Gone => "it answered 410: gone for good",
        SuspendedReason::Paused => "somebody paused it",
    }
}

/// A command of several lines, as one line.
pub fn unbroken(command: &str) -> String {
    command.replace(" \\\n  ", " ")
}

pub(super) fn paste(text: &mut String, command: &str) {
    text.push('\n');
    for line in command.lines() {
        let _ = writeln!(text, "  {line}");
    }
}

/// A paragraph whose lines are as long as its reader's window.
pub(super) fn unwrapped(paragraph: &str) -> String {
    paragraph.replace('\n', " ")
}

/// The text without characters that break a line: a row may hold any text.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

pub(super) fn counted(count: u64, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {one}s"),
    }
}

const fn state(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Active => "ACTIVE",
        EndpointState::Suspended => "SUSPENDED",
        EndpointState::Deleted => "DELETED",
    }
}
