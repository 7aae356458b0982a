//! The message for a setting that cannot be used.

use std::iter;

use figment::{Figment, Metadata, value::Value};

use super::{DEFAULTS, SECRETS, channel_place, hint, sources};

/// The channels of alerts: an entry of this list has secrets in it.
const CHANNEL: &str = "alerts.channel.";

/// Whether the value of this key must not be shown.
fn is_secret(key: &str) -> bool {
    let within = key.strip_prefix(CHANNEL).and_then(|rest| rest.rsplit_once('.'));
    SECRETS.contains(&key) || within.is_some_and(|(_, name)| matches!(name, "url" | "secret" | "token"))
}

/// Names the key, its value, its source and the expected value.
pub(super) fn explain(figment: &Figment, error: &figment::Error) -> String {
    use figment::error::Kind;
    let key = error.path.join(".");
    let (source, place) = (source(error.metadata.as_ref(), &key), place(figment, &key));
    match &error.kind {
        Kind::UnknownField(field, expected) => {
            let named = if key.is_empty() { field } else { &place };
            format!("{named}{source}: there is no such key: expected one of {}", expected.join(", "))
        }
        Kind::MissingField(field) if key.starts_with(CHANNEL) => format!("{place}{source}: {field} is missing"),
        _ if is_secret(&key) => format!("{place}{source}: expected a text, in double quotes"),
        kind if key.starts_with(CHANNEL) => format!("{place}{source}: {kind}"),
        kind if key.is_empty() => format!("{source}: {kind}").trim_start_matches(" in ").to_owned(),
        kind => {
            let given = given(figment, &key);
            let hint = given.as_deref().and_then(|given| hint::of(&key, given));
            let hint = hint.map_or_else(|| kind.to_string(), |hint| format!("{kind}: {hint}"));
            let given = given.map_or_else(String::new, |value| format!(" = \"{value}\""));
            format!("{key}{given}{source}: {hint}; this key is: {}", meaning(&key))
        }
    }
}

/// A key as people find it: the channels of a list are counted from 1.
fn place(figment: &Figment, key: &str) -> String {
    let within = key.strip_prefix(CHANNEL).map(|rest| rest.split_once('.').unwrap_or((rest, "")));
    let Some((Ok(number), name)) = within.map(|(number, name)| (number.parse::<usize>(), name)) else {
        return key.to_owned();
    };
    let list = figment.find_value("alerts.channel").ok().and_then(Value::into_array);
    let own = list.as_ref().and_then(|list| list.get(number)?.find_ref("name")?.as_str()).unwrap_or_default();
    let place = channel_place(number + 1, own);
    if name.is_empty() { place } else { format!("{place}.{name}") }
}

/// Where the value of a key comes from.
pub(super) fn source(metadata: Option<&Metadata>, key: &str) -> String {
    metadata.map_or_else(String::new, |metadata| match (&metadata.source, sources::variable(key)) {
        (Some(source), _) => format!(" in {source}"),
        (None, Some(name)) if metadata.name.starts_with('`') => format!(" in the environment variable {name}"),
        (None, _) => format!(" in the {}", metadata.name),
    })
}

/// The given text of a key, or of an entry of a list.
pub(super) fn given(figment: &Figment, key: &str) -> Option<String> {
    let (list, place) = key.rsplit_once('.')?;
    let value = match place.parse::<usize>() {
        Ok(place) => figment.find_value(list).ok()?.into_array()?.into_iter().nth(place)?,
        Err(_) => figment.find_value(key).ok()?,
    };
    match value {
        Value::String(_, text) => Some(text),
        Value::Num(_, number) => number.to_u128().map(|number| number.to_string()),
        _ => None,
    }
}

/// The explanation of a key in `config.toml`: the comment beside it, and the comment lines that follow.
pub(super) fn meaning(key: &str) -> String {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let key = rest.split('.').next().unwrap_or(rest);
    let first = |line: &str, word: &str| line.split(' ').next() == Some(word);
    let lines = DEFAULTS.lines().skip_while(|line| !first(line, &format!("[{section}]")));
    let mut lines = lines.skip(1).take_while(|line| !line.starts_with('[')).skip_while(|line| !first(line, key));
    let Some((_, said)) = lines.next().and_then(|line| line.split_once("# ")) else {
        return "another value".to_owned();
    };
    let more = lines.map_while(|line| line.trim_start().strip_prefix("# ").filter(|_| line.starts_with(' ')));
    iter::once(said).chain(more).collect::<Vec<_>>().join(" ")
}
