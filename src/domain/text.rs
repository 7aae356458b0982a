//! Other people's text for a terminal or a log: characters that would not show themselves are escaped.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// Whether a character controls a terminal or the reading of a line instead of showing itself: control characters (C0,
/// DEL, C1), line separators, and marks of direction (Unicode's Bidi_Control).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A writer that escapes hidden characters as Rust writes them: `\n`, `\u{1b}`.
#[derive(Debug)]
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_hidden) {
            match part.char_indices().next_back() {
                Some((end, hidden)) if is_hidden(hidden) => {
                    self.0.write_str(&part[..end])?;
                    write!(self.0, "{}", hidden.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// The text with hidden characters escaped.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut plain = String::new();
    // Writing to a String never fails.
    let _ = Escaping(&mut plain).write_str(text);
    plain.into()
}

/// The JSON with hidden characters escaped as `\u001b`: they can only be in its strings.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return json.into();
    }
    let escape = |c: char| match c {
        hidden if is_hidden(hidden) => format!("\\u{:04x}", u32::from(hidden)).into(),
        shown => Cow::from(shown.to_string()),
    };
    json.chars().map(escape).collect::<String>().into()
}
