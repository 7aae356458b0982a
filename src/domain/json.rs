//! The fixed point of `JSON.stringify(JSON.parse(x))`.
//!
//! AsiliChain's page verifies a signature over `JSON.stringify(req.body)`: the receiver parses the body and prints it
//! again before it hashes. [`stringify()`] prints a producer's JSON as ECMAScript would, so that printing it again
//! changes nothing; what could not survive that is refused with the path of the offending value. serde_json checks the
//! grammar and reads the strings. The numbers are read here from their literals: a parsed value has already lost long
//! integers.

use std::{borrow::Cow, fmt};

use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::domain::excerpt::excerpt;

/// Limits of a payload, so that every receiver can read it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// Longest string, in bytes.
    pub string_bytes: usize,
}

/// Longest literal of a number that is delivered as it was sent, in bytes. A 64-bit number needs at most 24.
const MAX_NUMBER: usize = 64;

/// The largest integer that every reader of JSON keeps exactly: 2^53 - 1.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The largest array index of ECMAScript is 2^32 - 2; keys that are array indices are printed first, in order.
const MAX_ARRAY_INDEX: u32 = u32::MAX - 1;

/// Why a JSON text cannot be delivered unchanged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where it stands, such as `.items[3].price`; empty for the whole text.
    pub path: String,
    /// The flaw, to put after the path in a sentence.
    pub problem: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", excerpt(&self.path), self.problem)
    }
}

/// Prints JSON text as `JSON.stringify(JSON.parse(text))` does, or names the value that would not survive.
///
/// Numbers are printed as ECMAScript prints them (`450.00` becomes `450`); keys that are array indices come first,
/// ascending; of a duplicate key the first place and the last value are kept; strings are escaped as ECMAScript does.
///
/// # Errors
/// An integer literal beyond ±(2^53 - 1), a number that overflows, a lone surrogate, nesting or a string beyond the
/// limits, and text that is not JSON.
pub fn stringify(text: &str, limits: Limits) -> Result<String, Flaw> {
    let value: &RawValue = serde_json::from_str(text)
        .map_err(|error| Flaw { path: String::new(), problem: format!("is not JSON: {error}") })?;
    let mut out = String::with_capacity(text.len());
    Printer { rest: value.get(), limits, path: Vec::new() }.value(&mut out)?;
    Ok(out)
}

/// Prints a string as `JSON.stringify` does, quotes included.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(text, &mut out);
    out
}

fn push_quoted(text: &str, out: &mut String) {
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..b' ')) {
        // serde_json escapes what ECMAScript escapes, and in the same way.
        match serde_json::to_string(text) {
            Ok(quoted) => out.push_str(&quoted),
            Err(_) => unreachable!("a text is always printed"),
        }
    } else {
        out.extend(["\"", text, "\""]);
    }
}

enum PathSegment<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// Walks over a JSON text and prints it.
struct Printer<'a> {
    rest: &'a str,
    limits: Limits,
    path: Vec<PathSegment<'a>>,
}

impl<'a> Printer<'a> {
    fn value(&mut self, out: &mut String) -> Result<(), Flaw> {
        match self.next() {
            b'{' => self.object(out),
            b'[' => self.array(out),
            b'"' => {
                let (literal, string) = self.string()?;
                match string {
                    // Without an escape it is printed as it is written.
                    Cow::Borrowed(_) => out.push_str(literal),
                    Cow::Owned(string) => push_quoted(&string, out),
                }
                Ok(())
            }
            b'-' | b'0'..=b'9' => {
                let literal = self.take_while(|byte| !matches!(byte, b',' | b']' | b'}') && !is_space(byte));
                let number = held(literal).map_err(|problem| self.flaw(format!("{problem}: send it as a string")))?;
                out.push_str(ryu_js::Buffer::new().format_finite(number));
                Ok(())
            }
            _ => {
                out.push_str(self.take_while(|byte| byte.is_ascii_lowercase()));
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut String) -> Result<(), Flaw> {
        self.enter()?;
        let mut entries: IndexMap<Cow<'a, str>, String> = IndexMap::new();
        while self.next() != b'}' {
            let (_, key) = self.string()?;
            self.skip(b':');
            self.path.push(PathSegment::Key(key.clone()));
            let mut value = String::new();
            self.value(&mut value)?;
            self.path.pop();
            self.skip(b',');
            // A key that comes again keeps its place.
            entries.insert(key, value);
        }
        self.skip(b'}');
        entries.sort_by_cached_key(|key, _| array_index(key).map_or((1, 0), |index| (0, index)));
        out.push('{');
        for (place, (key, value)) in entries.iter().enumerate() {
            out.push_str(if place > 0 { "," } else { "" });
            push_quoted(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String) -> Result<(), Flaw> {
        self.enter()?;
        out.push('[');
        for index in 0.. {
            if self.next() == b']' {
                break;
            }
            out.push_str(if index > 0 { "," } else { "" });
            self.path.push(PathSegment::Index(index));
            self.value(out)?;
            self.path.pop();
            self.skip(b',');
        }
        self.skip(b']');
        out.push(']');
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Flaw> {
        self.rest = &self.rest[1..];
        if self.path.len() >= self.limits.depth {
            return Err(self.flaw("is nested too deep: the server's limits.json_depth says how deep it may be"));
        }
        Ok(())
    }

    /// The literal of a string, and its text: borrowed if it holds no escape.
    fn string(&mut self) -> Result<(&'a str, Cow<'a, str>), Flaw> {
        let plain = self.rest[1..].bytes().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(0);
        let (string, end) = if self.rest.as_bytes().get(1 + plain) == Some(&b'"') {
            (Cow::Borrowed(&self.rest[1..1 + plain]), plain + 2)
        } else {
            let mut strings = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
            // The grammar was checked: nothing else is left to go wrong.
            let lone = || self.flaw("holds half of a surrogate pair, which is no character");
            let string = strings.next().and_then(Result::ok).ok_or_else(lone)?;
            (Cow::Owned(string), strings.byte_offset())
        };
        let (literal, rest) = self.rest.split_at(end);
        self.rest = rest;
        if string.len() > self.limits.string_bytes {
            return Err(self.flaw("is a string too long: the server's limits.string_bytes says how long it may be"));
        }
        Ok((literal, string))
    }

    /// The next byte that is no white space; 0 at the end.
    fn next(&mut self) -> u8 {
        self.take_while(is_space);
        self.rest.bytes().next().unwrap_or(0)
    }

    /// Steps over this byte and the white space before it, if it is there.
    fn skip(&mut self, byte: u8) {
        if self.next() == byte {
            self.rest = &self.rest[1..];
        }
    }

    /// Steps over the ASCII characters that these are.
    fn take_while(&mut self, goes: impl Fn(u8) -> bool) -> &'a str {
        let length = self.rest.bytes().position(|byte| !goes(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn flaw(&self, problem: impl Into<String>) -> Flaw {
        let path = self.path.iter().map(|segment| match segment {
            PathSegment::Key(key) => format!(".{key}"),
            PathSegment::Index(index) => format!("[{index}]"),
        });
        Flaw { path: path.collect(), problem: problem.into() }
    }
}

/// Whether this is white space in JSON's grammar.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The number that every receiver reads from a literal of JSON's grammar.
fn held(literal: &str) -> Result<f64, &'static str> {
    if !literal.contains(['.', 'e', 'E']) {
        let magnitude = literal.trim_start_matches('-').parse::<u64>().unwrap_or(u64::MAX);
        if magnitude > MAX_SAFE_INTEGER {
            return Err("is an integer beyond 2^53 - 1, which JavaScript receivers cannot read exactly");
        }
    }
    let number = literal.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or("is a number too large to be read")
}

/// Checks the literal of a JSON number that is delivered as it was sent.
///
/// # Errors
/// The flaw, to put after the number's name in a sentence: more than 64 bytes, an integer beyond ±(2^53 - 1), a number
/// that overflows, or an exponent of more than three digits, on which exact decimals of some languages choke.
pub fn check_number(literal: &str) -> Result<(), String> {
    if literal.len() > MAX_NUMBER {
        return Err(format!("is a number too long: at most {MAX_NUMBER} bytes are taken"));
    }
    held(literal)?;
    let exponent = literal.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent);
    if exponent.trim_start_matches(['+', '-', '0']).len() > 3 {
        return Err("has an exponent of more than 3 digits, which some receivers cannot read".to_owned());
    }
    Ok(())
}

/// The array index of a key in ECMAScript: canonical decimal digits up to 2^32 - 2.
fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    key.parse().ok().filter(|index| canonical && *index <= MAX_ARRAY_INDEX)
}
