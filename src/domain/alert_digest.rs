//! One mail about several webhooks of an account that were suspended.

use std::fmt::Write;

use crate::{
    config::command,
    domain::{
        alert_message::{AlertMessage, close, counted, one_line, paste},
        alert_words::AlertWords,
        endpoint::EndpointState,
    },
};

/// The words of a mail about these alerts, all of suspensions of one account; the first gives the mail its id.
pub fn digest(first: &AlertMessage<'_>, others: &[AlertMessage<'_>]) -> AlertWords {
    let all = || std::iter::once(first).chain(others);
    let number = counted(1 + others.len() as u64, "webhook");
    let account = one_line(&first.alert.account);
    let subject = format!("[Ngoma] {account}: {number} are SUSPENDED");
    let mut text = format!(
        "{}/ui/webhooks?state=suspended\n\n{number} of {account} are SUSPENDED: nothing is sent to them any more.\nNew \
         deliveries are held. Repair each receiver, send it a test, then resume the\nwebhook: its page has a button for both.\n",
        first.base
    );
    for message in all() {
        let _ = writeln!(text, "\n{}\n", message.page());
        message.put_facts(&mut text);
        match message.alert.state {
            EndpointState::Deleted => text.push_str("\nIt was deleted since: nothing is left to do.\n"),
            EndpointState::Active => text.push_str("\nIt was resumed since.\n"),
            EndpointState::Suspended => {}
        }
    }
    let suspended = || all().filter(|message| message.alert.state == EndpointState::Suspended);
    if suspended().next().is_some() {
        text.push_str("\nThe same by commands, in a shell on the server:\n");
        let commands: Vec<String> =
            suspended().map(|message| command(&format!("webhooks resume {}", message.webhook()))).collect();
        paste(&mut text, &commands.join("\n"));
    }
    close(&mut text, first.zone, first.alert.id);
    AlertWords { subject, mail: text, ..first.words() }
}
