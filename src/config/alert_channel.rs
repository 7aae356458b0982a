//! Channels of alerts, as the settings have them.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::Secret;

/// A channel of alerts by POST: what its kind does not need is empty.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertChannel {
    /// The service that takes the POST.
    pub kind: ChannelKind,
    /// Its name; empty: as its kind.
    #[serde(default)]
    pub name: String,
    /// Where to; empty for Telegram: its own server.
    #[serde(default)]
    pub url: Secret,
    /// The file that holds it instead; empty: none.
    #[serde(default)]
    pub url_file: PathBuf,
    /// What signs the POSTs (standard).
    #[serde(default)]
    pub secret: Secret,
    /// The file that holds it instead; empty: none.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// The token of the bot (telegram), or of the access (ntfy, text).
    #[serde(default)]
    pub token: Secret,
    /// The file that holds it instead; empty: none.
    #[serde(default)]
    pub token_file: PathBuf,
    /// The chat to write to (telegram).
    #[serde(default, deserialize_with = "text_or_number")]
    pub chat_id: String,
    /// The topic (ntfy).
    #[serde(default, deserialize_with = "text_or_number")]
    pub topic: String,
}

/// A text, or a number as the service shows it.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    struct TextOrNumber;

    impl de::Visitor<'_> for TextOrNumber {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or a text in double quotes")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_u64<E>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    from.deserialize_any(TextOrNumber)
}

/// Where the channel of this number stands in the settings, in words: the first is 1.
pub fn channel_place(number: usize, name: &str) -> String {
    let named = !name.is_empty() && name.len() <= 40 && name.bytes().all(is_of_name);
    let name = if named { format!(" ({name})") } else { String::new() };
    format!("alerts.channel {number}{name}")
}

/// Whether a name may have this character.
pub fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// The services that take alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// A program of your own: JSON, signed as Standard Webhooks.
    Standard,
    /// An incoming webhook of Slack, or of Mattermost.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A webhook of a Discord channel.
    Discord,
    /// A bot of Telegram.
    Telegram,
    /// A topic of ntfy.
    Ntfy,
    /// Anything that takes plain text.
    Text,
}

impl ChannelKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Ntfy => "ntfy",
            Self::Text => "text",
        }
    }
}
