//! The services that take alerts: the shape in which each takes one, and what each answers. Pure.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::{
    alert_words::AlertWords, ids::AlertId, signature::SigningSecret, text::is_hidden, timestamp::Timestamp,
};

/// Discord's longest message, in characters.
const DISCORD_MOST: usize = 2000;
/// Telegram's longest message, in characters.
const TELEGRAM_MOST: usize = 4096;
/// ntfy makes a file of a message that has more bytes.
const NTFY_MOST: usize = 4096;
/// Slack cuts off a text that has more characters.
const SLACK_MOST: usize = 40_000;
/// A card of Teams may have 28 KB.
const TEAMS_MOST: usize = 20_000;
/// ntfy's priorities: usual, and high (long vibration).
const NTFY_USUAL: u8 = 3;
const NTFY_HIGH: u8 = 4;

/// A token that no message may repeat; empty: none.
pub type Token = Zeroizing<String>;

/// A service, with what its POSTs need beside the URL.
#[derive(Debug)]
pub enum Service {
    /// JSON for programs, signed as Standard Webhooks.
    Standard(SigningSecret),
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A webhook of a Discord channel.
    Discord,
    /// The chat that a bot of Telegram writes to. The token of the bot is in the URL.
    Telegram(String),
    /// A topic of ntfy.
    Ntfy(String, Token),
    /// Plain text, with a bearer token if there is one.
    Text(Token),
}

/// The headers of a POST that is signed as Standard Webhooks.
pub fn standard_headers(
    secret: &SigningSecret,
    (id, at): (AlertId, Timestamp),
    body: &str,
) -> [(&'static str, String); 4] {
    let id = id.to_string();
    [
        ("content-type", "application/json".to_owned()),
        ("webhook-signature", secret.sign_standard(&id, at, body.as_bytes())),
        ("webhook-timestamp", at.unix_seconds().to_string()),
        ("webhook-id", id),
    ]
}

/// The headers and the body of a POST.
pub type Request = (Vec<(&'static str, String)>, String);

impl Service {
    /// The POST of these words at this moment.
    pub fn request(&self, words: &AlertWords, at: Timestamp) -> Request {
        let AlertWords { subject, said, page, .. } = words;
        let body = match self {
            Self::Standard(secret) => {
                let headers = standard_headers(secret, (words.id, at), &words.json);
                return (headers.into(), words.json.clone());
            }
            Self::Slack => {
                let said = slack(&cut(said, SLACK_MOST / 2, in_chars));
                json!({ "text": format!("*{}*\n{said}\n<{}>", slack(subject), slack(page)) })
            }
            Self::Teams => teams(words),
            Self::Discord => {
                // The angle brackets keep Discord from making a preview of the page.
                let subject = markdown(subject);
                let room = DISCORD_MOST.saturating_sub(in_units(&subject) + in_units(page) + 10);
                let said = cut(&markdown(said), room, in_units);
                json!({ "content": format!("**{subject}**\n{said}\n<{page}>"), "allowed_mentions": { "parse": [] } })
            }
            Self::Telegram(chat) => {
                let room = TELEGRAM_MOST.saturating_sub(in_units(subject) + in_units(page) + 4);
                let text = format!("{subject}\n\n{}\n\n{page}", cut(said, room, in_units));
                json!({ "chat_id": chat, "text": text, "link_preview_options": { "is_disabled": true } })
            }
            Self::Ntfy(topic, token) => {
                let (priority, tag) =
                    if words.good { (NTFY_USUAL, "white_check_mark") } else { (NTFY_HIGH, "warning") };
                let body = json!({ "topic": topic, "title": subject, "message": cut(said, NTFY_MOST, str::len),
                                   "priority": priority, "tags": [tag], "click": page });
                return (json_headers(token), body.to_string());
            }
            Self::Text(token) => {
                let mut headers = bearer(token);
                headers.push(("content-type", "text/plain; charset=utf-8".to_owned()));
                return (headers, format!("{subject}\n\n{said}\n\n{page}\n"));
            }
        };
        (json_headers(&Token::default()), body.to_string())
    }

    /// Whether an answer 410 means that nobody wants alerts here. Slack answers so for a channel that was archived, which
    /// a person can mend.
    pub const fn ends_by_gone(&self) -> bool {
        matches!(self, Self::Standard(_))
    }
}

/// The length of a text as most services count: in characters.
fn in_chars(text: &str) -> usize {
    text.chars().count()
}

/// The length as Discord and Telegram may count: in units of UTF-16.
fn in_units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The text, or as much of its beginning as there is room for.
fn cut(text: &str, most: usize, length: fn(&str) -> usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut kept = text;
    while length(kept) + length("...") > most {
        let Some((end, _)) = kept.char_indices().next_back() else { return String::new() };
        kept = &kept[..end];
    }
    format!("{kept}...")
}

/// A text in which Slack sees no link, no mention and no formatting of its own.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text in which a reader of Markdown sees no link and no formatting: a receiver's words may be in it.
fn markdown(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\`*~|[]<>".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// A card: Teams reads Markdown in it, where a line ends by an empty one.
fn teams(words: &AlertWords) -> Value {
    let block = |text: &str, weight: &str| json!({ "type": "TextBlock", "text": text, "weight": weight, "wrap": true });
    let said = cut(&markdown(&words.said), TEAMS_MOST, str::len).replace('\n', "\n\n");
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [block(&markdown(&words.subject), "Bolder"), block(&said, "Default")],
                "actions": [{ "type": "Action.OpenUrl", "title": "Open its page", "url": words.page }]
            }
        }]
    })
}

fn json_headers(token: &Token) -> Vec<(&'static str, String)> {
    let mut headers = bearer(token);
    headers.push(("content-type", "application/json".to_owned()));
    headers
}

fn bearer(token: &Token) -> Vec<(&'static str, String)> {
    let given = !token.is_empty();
    given.then(|| ("authorization", format!("Bearer {}", token.as_str()))).into_iter().collect()
}

/// The first bytes of an answer on one line, without these secrets.
pub fn first_bytes(body: &[u8], secrets: &[String]) -> String {
    const SHOWN: usize = 200;
    let mut text = String::from_utf8_lossy(body).into_owned();
    // One may be a part of another.
    let mut secrets: Vec<&String> = secrets.iter().filter(|secret| secret.len() > 3).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    let plain: String = text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    cut(&words.join(" "), SHOWN, in_chars)
}

/// How long an answer in JSON asks to wait: Telegram and Discord say so in the body.
pub fn asked_to_wait(body: &[u8]) -> Option<f64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let asked = body.get("parameters").unwrap_or(&body).get("retry_after")?;
    asked.as_f64().filter(|seconds| (0.0..=86_400.0).contains(seconds))
}
