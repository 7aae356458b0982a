//! One message about several webhooks of an account to which the same happened.

use std::fmt::Write;

use crate::{
    config::command,
    domain::{
        alert::{Kind, NOTICE},
        alert_message::{AlertMessage, close, counted, one_line, paste, unwrapped},
        alert_words::AlertWords,
        endpoint::EndpointState,
    },
};

/// Webhooks of which a message tells the facts; the others are named.
const IN_FULL: usize = 20;

/// The page that lists suspended webhooks, after the server's address.
const SUSPENDED: &str = "/ui/webhooks?state=suspended";

/// What several webhooks have in common.
struct Common {
    /// To how many of them it applies now.
    number: usize,
    /// What they do, as the subject says it.
    what: &'static str,
    /// What it means, and what to do: the rest of the sentence that begins with that, in short lines.
    means: String,
    /// The page that lists them, after the server's address.
    page: &'static str,
}

impl Common {
    fn of(first: &AlertMessage<'_>, all: usize, suspended: usize) -> Self {
        let common = |what, means: String, page| Self { number: all, what, means, page };
        match first.alert.kind() {
            Kind::Suspended => Self::suspended(all, suspended),
            Kind::Warning if first.is_damaged() => common(
                "have a damaged delivery",
                format!(
                    ", which is not sent:\nits body was damaged on the disk of the Ngoma server. The receivers are not at\nfault. Publish the events again, under other keys. The operator of the server\nruns '{}' and looks at its disk.",
                    command("check")
                ),
                "/ui/webhooks",
            ),
            Kind::Warning => common(
                "are failing",
                ":\nthey did not take a delivery. Look at the receivers now: each webhook's page\nshows what it answered.".to_owned(),
                "/ui/webhooks?state=failing",
            ),
            Kind::Expiring => common(
                "have deliveries that will be cancelled",
                format!(
                    ",\nthe oldest first, from {} on.\nResume each webhook on its page, or let them go.",
                    first.zone.show(first.alert.created_at + NOTICE)
                ),
                SUSPENDED,
            ),
            Kind::Recovered => {
                common("work again", ": each has taken a delivery.\nNothing is left to do.".to_owned(), "/ui/webhooks")
            }
        }
    }

    /// What suspended webhooks have in common, some of which may be resumed by now.
    fn suspended(all: usize, suspended: usize) -> Self {
        let (number, what, means) = match suspended {
            0 => {
                (all, "were suspended", ".\nThey were resumed or deleted since. If all is well, nothing is left to do.")
            }
            1 => (
                1,
                "is SUSPENDED",
                ": nothing is sent to it any more.\nNew deliveries are held. Repair the receiver, send it a test, then resume the\nwebhook: its page has a button for both.",
            ),
            more => (
                more,
                "are SUSPENDED",
                ": nothing is sent to them any more.\nNew deliveries are held. Repair each receiver, send it a test, then resume the\nwebhook: its page has a button for both.",
            ),
        };
        Self { number, what, means: means.to_owned(), page: SUSPENDED }
    }
}

/// The words of a message about these alerts, all of one kind and account, oldest first. The newest gives it its id: the
/// same message has the same, and one that has grown another.
pub fn digest(first: &AlertMessage<'_>, others: &[AlertMessage<'_>]) -> AlertWords {
    let mut all: Vec<&AlertMessage<'_>> = std::iter::once(first).chain(others).collect();
    let is_suspended = |message: &&AlertMessage<'_>| message.alert.state == EndpointState::Suspended;
    all.sort_by_key(|message| !is_suspended(message));
    let suspended = all.iter().copied().filter(is_suspended).count();
    let Common { number, what, means, page } = Common::of(first, all.len(), suspended);
    let (number, account) = (counted(number as u64, "webhook"), one_line(&first.alert.account));
    let page = format!("{}{page}", first.base);
    let opening = format!("{number} of {account} {what}{means}");
    let mut mail = mail(&all, &page, &opening);
    let id = others.last().unwrap_or(first).alert.id;
    close(&mut mail, first.zone, id);
    AlertWords {
        id,
        subject: format!("[Ngoma] {account}: {number} {what}"),
        mail,
        said: said(&all, &opening),
        page,
        ..first.words()
    }
}

/// For a chat: a line for each webhook.
fn said(all: &[&AlertMessage<'_>], opening: &str) -> String {
    let mut text = unwrapped(opening);
    for message in all.iter().take(IN_FULL) {
        let resumed = message.alert.kind() == Kind::Suspended && message.alert.state != EndpointState::Suspended;
        let error = message.last_error().map_or_else(String::new, |error| format!(": {error}"));
        let error = if resumed { ": resumed or deleted since".to_owned() } else { error };
        let _ = write!(text, "\n{} at {}{error}", message.webhook(), message.host());
    }
    if all.len() > IN_FULL {
        let _ = write!(text, "\nand {} more", all.len() - IN_FULL);
    }
    text
}

fn mail(all: &[&AlertMessage<'_>], page: &str, opening: &str) -> String {
    let mut text = format!("{page}\n\n{opening}\n");
    for message in all.iter().take(IN_FULL) {
        let _ = writeln!(text, "\n{}\n", message.page());
        message.put_facts(&mut text);
        match (message.alert.state, message.alert.kind()) {
            (_, Kind::Recovered) => {}
            (EndpointState::Deleted, _) => text.push_str("\nIt was deleted since: nothing is left to do.\n"),
            (EndpointState::Active, Kind::Suspended | Kind::Expiring) => text.push_str("\nIt was resumed since.\n"),
            (EndpointState::Active | EndpointState::Suspended, _) => {}
        }
    }
    if all.len() > IN_FULL {
        let _ = writeln!(text, "\nAnd {} more:\n", all.len() - IN_FULL);
        for message in &all[IN_FULL..] {
            let _ = writeln!(text, "  {}", message.page());
        }
    }
    let resumes = matches!(all[0].alert.kind(), Kind::Suspended | Kind::Expiring);
    let suspended = |message: &&&AlertMessage<'_>| resumes && message.alert.state == EndpointState::Suspended;
    let commands: Vec<String> = all
        .iter()
        .filter(suspended)
        .map(|message| command(&format!("webhooks resume {}", message.webhook())))
        .collect();
    if !commands.is_empty() {
        text.push_str("\nThe same by commands, in a shell on the server:\n");
        paste(&mut text, &commands.join("\n"));
    }
    text
}
