//! Tries the channels of alerts: sends a test, and returns its outcome.

use super::channels::Channels;
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    domain::{alert::Channel, alert_words::AlertWords, excerpt::excerpt, timestamp::Timestamp},
    error::{Error, Result},
};

/// Sends a mail that says only that mail works.
///
/// # Errors
/// [`Error::Invalid`] for a setting that cannot be used, or if there is no mail server; [`Error::Unavailable`] with the
/// reason if the server did not accept the mail.
pub async fn send_test_mail(config: &Config, to: &str) -> Result<()> {
    let Channels { base, mailer, .. } = Channels::alone(config)?;
    let none = || {
        Error::request(
            "there is no mail server to send by: set alerts.smtp_url or alerts.smtp_url_file in the settings",
        )
    };
    let (mailer, at) = (mailer.ok_or_else(none)?, SystemClock.now());
    let sent = mailer.test(to, &AlertWords::test(at, &base), at).await;
    sent.map_err(|undelivered| Error::Unavailable(format!("the test mail was not sent: {}", undelivered.words())))
}

/// Sends a test to the channels of these settings, or only to the one of this name. Returns the outcome of each.
///
/// # Errors
/// [`Error::Invalid`] for a setting that cannot be used, or if there is no such channel.
pub async fn test_channels(config: &Config, name: Option<&str>) -> Result<Vec<(String, Result<()>)>> {
    let (channels, at) = (Channels::alone(config)?, SystemClock.now());
    let names = channels.testable();
    let wanted: Vec<String> = names.iter().filter(|own| name.is_none_or(|name| name == *own)).cloned().collect();
    if wanted.is_empty() {
        return Err(no_channel(name, &names));
    }
    let mut done = Vec::new();
    for name in wanted {
        let tested = test(&channels, &name, at).await;
        done.push((name, tested));
    }
    Ok(done)
}

const NONE: &str = "no channel of alerts is set up: write an [[alerts.channel]] into the settings, or set alerts.smtp_url and \
                    alerts.operator_email there";

fn no_channel(name: Option<&str>, names: &[String]) -> Error {
    Error::request(match name {
        Some(name) if names.is_empty() => format!("there is no channel {}: {NONE}", excerpt(name)),
        Some(name) => format!("there is no channel {}: expected one of {}", excerpt(name), names.join(", ")),
        None => NONE.to_owned(),
    })
}

/// Sends a test to a channel.
pub(super) async fn test(channels: &Channels, name: &str, at: Timestamp) -> Result<()> {
    let words = AlertWords::test(at, &channels.base);
    let done = match (channels.post(name), &channels.mailer, &channels.operator) {
        (Some(post), ..) => post.deliver(&channels.poster, &words, at).await,
        (None, Some(mailer), Some(to)) if Channel::named(name) == Channel::Mail => mailer.test(to, &words, at).await,
        _ => return Err(no_channel(Some(name), &channels.testable())),
    };
    done.map_err(|why| Error::Unavailable(format!("the test was not taken: {}", why.words())))
}
