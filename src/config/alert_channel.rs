//! Channels of alerts, as the settings have them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub chat_id: String,
    /// The topic (ntfy).
    #[serde(default)]
    pub topic: String,
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
