//! Why a body cannot be read: a sentence that names the fault and its place.

use serde::de::IgnoredAny;

use crate::{domain::excerpt::excerpt, error::Error};

/// The messages of the JSON library for a text that is no JSON, and ours. The first whose beginning fits counts.
const NOT_JSON: [(&str, &str); 15] = [
    ("EOF while parsing an object", "it ends in the middle of an object"),
    ("EOF while parsing a list", "it ends in the middle of a list"),
    ("EOF while parsing a string", "it ends in the middle of a string"),
    ("EOF while parsing", "it ends in the middle of a value"),
    ("expected value", "a value was expected: a string, a number, an object, a list, true, false or null"),
    ("expected ident", "a word was expected: true, false or null"),
    ("key must be a string", "a key in double quotes was expected after { or a comma"),
    ("expected `:`", "a colon was expected after a key"),
    ("expected `,` or `]`", "a comma or ] was expected"),
    ("expected `,` or `}`", "a comma or } was expected"),
    ("trailing comma", "a comma stands before the end of an object or a list"),
    ("trailing characters", "something follows its end"),
    ("control character", "a string holds a bare control character, such as a line end: write it as \\n or \\u000a"),
    (
        "invalid escape",
        "a string holds an unknown escape: after \\ expected one of \" \\ / b f n r t, or u and four digits",
    ),
    ("invalid number", "a number was expected, as JSON writes numbers"),
];

/// The messages of the library for JSON that is not of the documented form, and ours.
const NOT_OURS: [(&str, &str); 3] = [
    ("expected value", "expected one of the documented words"),
    ("lone leading surrogate", "a string holds half of a surrogate pair, which is no character"),
    ("unexpected end of hex escape", "a string holds half of a surrogate pair, which is no character"),
];

/// The text of a body, if it may be a JSON object.
///
/// # Errors
/// Bytes that are no UTF-8, a byte order mark, nothing at all, an array.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Error> {
    let text = str::from_utf8(bytes).map_err(|flaw| {
        let at = flaw.valid_up_to() + 1;
        Error::request(format!("the body is not UTF-8: byte {at} begins no character. Send JSON in UTF-8"))
    })?;
    match text.trim_ascii_start().chars().next() {
        None => Err(Error::request("the body is empty: send a JSON object")),
        Some('\u{feff}') => Err(Error::request("the body begins with a byte order mark: send it without")),
        // serde would also fill an object from an array.
        Some('[') => Err(Error::request("the body is an array: expected an object")),
        Some(_) => Ok(text),
    }
}

/// Explains the library's error in the text, at the value with this path.
pub(crate) fn explain(text: &str, path: &str, flaw: &serde_json::Error) -> Error {
    // The library may stop at a wrong type before it sees that the text is broken, and reports some wrong types as
    // broken text.
    if let Err(broken) = serde_json::from_str::<IgnoredAny>(text) {
        let said = in_our_words(&broken, &NOT_JSON);
        let (line, column) = (broken.line(), broken.column());
        return Error::request(format!("the body is not JSON: {said} (line {line}, column {column})"));
    }
    let known = path != "." && !path.contains('?');
    let place = if known { excerpt(path) } else { "the body".into() };
    let said = in_our_words(flaw, &NOT_OURS);
    Error::request(format!("{place}: {} (line {}, column {})", excerpt(&said), flaw.line(), flaw.column()))
}

/// Our words for the library's message; or its own, without the place at their end.
fn in_our_words(flaw: &serde_json::Error, ours: &[(&str, &str)]) -> String {
    let words = flaw.to_string();
    let place = format!(" at line {} column {}", flaw.line(), flaw.column());
    let words = words.strip_suffix(&place).unwrap_or(&words);
    if let Some((_, own)) = ours.iter().find(|(begin, _)| words.starts_with(begin)) {
        return (*own).to_owned();
    }
    // The name of our type means nothing to a client.
    match words.split_once(", expected struct ") {
        Some((found, _)) => format!("{found}, expected an object"),
        None => words.to_owned(),
    }
}
