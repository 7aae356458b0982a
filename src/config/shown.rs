//! The settings as people see them: each key with its value; secrets are masked.

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde_json::{Map, Value};
use url::Url;

use super::{Config, DEFAULTS, flaw::meaning};

const MASKED: &str = "***";

/// A setting and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The section of `config.toml`.
    pub section: String,
    /// The key in it.
    pub key: String,
    /// The value, as `config.toml` would have it; a secret is masked.
    pub value: String,
    /// Whether it differs from the default.
    pub changed: bool,
    /// Its explanation in `config.toml`.
    pub meaning: String,
}

impl Config {
    /// Every setting, in the order of `config.toml`.
    pub fn shown(&self) -> Vec<Setting> {
        let usual = Figment::from(Toml::string(DEFAULTS)).extract::<Self>();
        let usual = usual.map_or_else(|_| Map::new(), |usual| sections(&usual));
        let mut shown = Vec::new();
        for (section, keys) in sections(self) {
            let Value::Object(keys) = keys else { continue };
            for (key, value) in keys {
                let changed = usual.get(&section).and_then(|keys| keys.get(&key)) != Some(&value);
                let meaning = meaning(&format!("{section}.{key}"));
                shown.push(Setting { value: masked(&key, &value), changed, meaning, section: section.clone(), key });
            }
        }
        shown
    }
}

fn sections(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(sections)) => sections,
        _ => Map::new(),
    }
}

/// A span of time in the largest unit that divides it, as people write it: `90d`.
fn span(text: &str) -> Option<String> {
    let span = humantime::parse_duration(text).ok()?;
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let millis = span.as_millis();
    units.iter().find(|(unit, _)| millis.is_multiple_of(*unit)).map(|(unit, name)| format!("{}{name}", millis / unit))
}

/// A value without secrets: a secret setting is masked, and so are the password and the query of a URL.
fn masked(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && (key.ends_with("_secret") || key.ends_with("password")) => {
            MASKED.to_owned()
        }
        Value::String(text) if span(text).is_some() => format!("\"{}\"", span(text).unwrap_or_default()),
        Value::String(text) => match Url::parse(text) {
            Ok(mut url) if text.contains("://") => {
                if url.password().is_some() {
                    // A URL without a host has no password either.
                    let _ = url.set_password(Some(MASKED));
                }
                if url.query().is_some() {
                    url.set_query(Some(MASKED));
                }
                format!("\"{url}\"")
            }
            _ => value.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| masked(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
        value => value.to_string(),
    }
}
