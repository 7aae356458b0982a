//! The texts that receivers sign by mistake in place of a body.

use std::io;

use serde::Serialize as _;
use serde_json::{
    Serializer, Value,
    ser::{Formatter, PrettyFormatter},
};

use crate::domain::json::{self, Limits};

/// A text that a receiver may have signed.
pub(super) struct Variant {
    /// The text in words.
    pub(super) words: &'static str,
    /// What to do about it; empty if it is the right one.
    pub(super) remedy: &'static str,
    /// The text.
    pub(super) text: String,
}

const RAW: &str = "Verify the raw bytes of the request, before anything parses them. A body that was parsed and printed again is another text.";
const LINE_END: &str = "Add no line end: echo and editors do. Compare lengths.";
const EMPTY: &str = "The body was empty when it was signed: something had read it already. Read it once, keep the bytes, then parse them.";
const OTHER: &str = "The signature belongs to the body that you gave, and that is not the body that was sent: find out what changed it on its way.";

/// The body, the receiver's own text if it gave one, and what usual mistakes make of the body.
pub(super) fn of(body: &str, given: Option<&str>) -> Vec<Variant> {
    let variant = |words, remedy, text| Variant { words, remedy, text };
    let mut all = vec![
        variant("the body as it was sent", "", body.to_owned()),
        variant("the body with a line end after it", LINE_END, format!("{body}\n")),
        variant("the body with CR LF after it", LINE_END, format!("{body}\r\n")),
        variant("an empty body", EMPTY, String::new()),
    ];
    let whole = Limits { depth: usize::MAX, string_bytes: usize::MAX };
    let printed = json::stringify(body, whole).ok();
    all.extend(printed.map(|text| variant("the body, parsed and printed again by JSON.stringify", RAW, text)));
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        let python = print(&value, Python).map(|text| ascii(&text));
        all.extend(python.map(|text| variant("the body, parsed and printed again by Python's json.dumps", RAW, text)));
        let python = print(&value, Python);
        all.extend(
            python.map(|text| variant("the body, parsed and printed again by json.dumps, not in ASCII", RAW, text)),
        );
        for (indent, words) in [
            (b"  ".as_slice(), "the body, parsed and printed again with an indent of 2"),
            (b"    ".as_slice(), "the body, parsed and printed again with an indent of 4"),
        ] {
            all.extend(print(&value, PrettyFormatter::with_indent(indent)).map(|text| variant(words, RAW, text)));
        }
        let mut sorted = value;
        sorted.sort_all_objects();
        all.push(variant("the body, parsed and printed again with its members sorted", RAW, sorted.to_string()));
        let python = print(&sorted, Python).map(|text| ascii(&text));
        all.extend(python.map(|text| variant("the body, printed again by json.dumps with sort_keys", RAW, text)));
    }
    all.extend(given.map(|given| variant("the body that you gave", OTHER, given.to_owned())));
    all
}

fn print(value: &Value, formatter: impl Formatter) -> Option<String> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter)).ok()?;
    String::from_utf8(out).ok()
}

/// Prints as Python's json.dumps does: a space after each comma and colon.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// JSON with every character outside ASCII escaped.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
