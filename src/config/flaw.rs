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
    let (source, shown) = (source(error.metadata.as_ref(), &key), place(figment, &key));
    match &error.kind {
        Kind::UnknownField(field, expected) => {
            let named = if key.is_empty() { field } else { &shown };
            format!("{named}{source}: there is no such key: expected one of {}", expected.join(", "))
        }
        Kind::MissingField(field) if key.starts_with(CHANNEL) => format!("{shown}{source}: {field} is missing"),
        _ if is_secret(&key) => format!("{shown}{source}: expected a text, in double quotes"),
        kind if key.is_empty() => {
            let said = format!("{source}: {kind}");
            let twice =
                if said.contains("duplicate key") { ": it stands in the file twice, so join the two" } else { "" };
            format!("{}{twice}", said.trim_start_matches(" in ").trim_end())
        }
        kind => {
            let given = match (equals(figment, &key), kind) {
                (none, Kind::UnknownVariant(found, _)) if none.is_empty() => format!(" = \"{found}\""),
                (given, _) => given,
            };
            let hint = value(figment, &key).and_then(|given| hint::of(&key, &text(&given)?));
            let problem = hint.unwrap_or_else(|| problem(kind));
            // The comment at the channels explains all kinds of them.
            let of_channel = key.starts_with(CHANNEL);
            let meaning = if of_channel { String::new() } else { format!("; this key is: {}", meaning(&key)) };
            format!("{shown}{given}{source}: {problem}{meaning}")
        }
    }
}

/// A key as it is shown: entries of a list are counted from 1, as in `alerts.channel 1.url`; channels have their names
/// beside.
fn place(figment: &Figment, key: &str) -> String {
    if let Some((Ok(number), name)) = key
        .strip_prefix(CHANNEL)
        .map(|rest| rest.split_once('.').unwrap_or((rest, "")))
        .map(|(number, name)| (number.parse::<usize>(), name))
    {
        let list = figment.find_value("alerts.channel").ok().and_then(Value::into_array);
        let own = list.as_ref().and_then(|list| list.get(number)?.find_ref("name")?.as_str()).unwrap_or_default();
        let place = channel_place(number + 1, own);
        return if name.is_empty() { place } else { format!("{place}.{name}") };
    }
    let mut shown = String::new();
    for part in key.split('.') {
        let joint = if shown.is_empty() { "" } else { "." };
        shown = match part.parse::<usize>() {
            Ok(place) => format!("{shown} {}", place + 1),
            Err(_) => format!("{shown}{joint}{part}"),
        };
    }
    shown
}

/// The problem with a value. The value itself is shown apart, so the expected one is enough.
fn problem(kind: &figment::error::Kind) -> String {
    use figment::error::Kind;
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("expected {}", in_words(expected)),
        Kind::UnknownVariant(_, expected) => format!("expected {}", expected.join(" or ")),
        kind => kind.to_string(),
    }
}

/// An expected value in words that need no Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u16" | "u32" | "u64" => "a whole number that is not negative",
        "a sequence" => "a list in square brackets",
        "a boolean" => "true or false",
        "socket address" => "an address and a port, such as \"127.0.0.1:8080\"",
        "a duration" => "a time with its unit, such as \"10s\" or \"2h\"",
        expected => expected,
    }
}

/// Where the value of a key comes from.
pub(super) fn source(metadata: Option<&Metadata>, key: &str) -> String {
    metadata.map_or_else(String::new, |metadata| match (&metadata.source, sources::variable(key)) {
        (Some(source), _) => format!(" in {source}"),
        (None, Some(name)) if metadata.name.starts_with('`') => format!(" in the environment variable {name}"),
        (None, _) if metadata.name.starts_with("TOML") => ", its default".to_owned(),
        (None, _) => format!(" in the {}", metadata.name),
    })
}

/// The value of a key, or of an entry of a list, as the settings have it.
fn value(figment: &Figment, key: &str) -> Option<Value> {
    let (list, place) = key.rsplit_once('.')?;
    match place.parse::<usize>() {
        Ok(place) => figment.find_value(list).ok()?.into_array()?.into_iter().nth(place),
        Err(_) => figment.find_value(key).ok(),
    }
}

/// The text of a value; `None` for a list and for a section.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Num(_, number) => {
            number.to_i128().or_else(|| number.to_u128()?.try_into().ok()).map(|it| it.to_string())
        }
        _ => None,
    }
}

/// The value of a key as it is shown after the key; empty for a list and for a section.
pub(super) fn equals(figment: &Figment, key: &str) -> String {
    let shown = value(figment, key).and_then(|value| match (text(&value)?, value) {
        (number, Value::Num(..)) => Some(format!(" = {number}")),
        (text, _) => Some(format!(" = \"{text}\"")),
    });
    shown.unwrap_or_default()
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
