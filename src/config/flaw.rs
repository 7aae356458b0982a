//! The message for a setting that cannot be used.

use std::iter;

use figment::{Figment, Metadata, value::Value};

use super::{DEFAULTS, SECRETS, hint, sources};

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
    let source = source(error.metadata.as_ref(), &key);
    match &error.kind {
        Kind::UnknownField(field, expected) => {
            let named = if key.is_empty() { field } else { &key };
            format!("{named}{source}: there is no such key: expected one of {}", expected.join(", "))
        }
        Kind::MissingField(field) if key.starts_with(CHANNEL) => format!("{key}{source}: {field} is missing"),
        _ if is_secret(&key) => format!("{key}{source}: expected a text, in double quotes"),
        kind if key.is_empty() => {
            let said = format!("{source}: {kind}");
            let twice =
                if said.contains("duplicate key") { ": it stands in the file twice, so join the two" } else { "" };
            format!("{}{twice}", said.trim_start_matches(" in ").trim_end())
        }
        kind => {
            let given = given(figment, &key);
            let hint = given.as_deref().and_then(|given| hint::of(&key, given));
            let hint = hint.map_or_else(|| kind.to_string(), |hint| format!("{kind}: {hint}"));
            let given = given.map_or_else(String::new, |value| format!(" = \"{value}\""));
            format!("{key}{given}{source}: {hint}; this key is: {}", meaning(&key))
        }
    }
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
