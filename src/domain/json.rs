//! The fixed point of `JSON.stringify(JSON.parse(x))`.
//!
//! AsiliChain's page verifies a signature over `JSON.stringify(req.body)`: the receiver parses the body and prints it
//! again before it hashes. [`stringify()`] prints a producer's JSON as ECMAScript would, so that printing it again changes
//! nothing; what could not survive that is refused with the path of the offending value. It works on the raw text, because
//! a parsed value has already lost long integers and duplicate keys.

use std::{collections::HashMap, fmt};

use crate::domain::excerpt::excerpt;

/// What a payload may hold, so that every receiver can take it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// Longest string, in bytes.
    pub string_bytes: usize,
}

/// Longest literal of a number that is delivered as it was sent, in bytes. What a 64-bit number can tell needs 24.
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
    /// What is wrong with it, ready to follow the path in a sentence.
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
    let mut reader = Reader { text, limits, at: 0, path: Vec::new() };
    let mut out = String::with_capacity(text.len());
    reader.skip_space();
    reader.value(&mut out)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.flaw("is not JSON: something follows its end"));
    }
    Ok(out)
}

/// Prints a string as `JSON.stringify` does, quotes included.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    out
}

enum PathSegment {
    Key(String),
    Index(usize),
}

struct Reader<'a> {
    text: &'a str,
    limits: Limits,
    at: usize,
    path: Vec<PathSegment>,
}

impl Reader<'_> {
    fn value(&mut self, out: &mut String) -> Result<(), Flaw> {
        match self.peek() {
            Some(b'{') => self.object(out),
            Some(b'[') => self.array(out),
            Some(b'"') => {
                let string = self.string()?;
                write_string(&string, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.text[self.at..].starts_with(word));
                let word = word.ok_or_else(|| self.flaw("is not JSON: a value was expected"))?;
                self.at += word.len();
                out.push_str(word);
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut String) -> Result<(), Flaw> {
        let mut entries: Vec<(String, String)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        self.enter()?;
        while !self.ends_with(b'}', entries.is_empty())? {
            if self.peek() != Some(b'"') {
                return Err(self.flaw("is not JSON: a key was expected"));
            }
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            self.path.push(PathSegment::Key(key.clone()));
            let mut value = String::new();
            self.value(&mut value)?;
            self.path.pop();
            match places.get(&key) {
                Some(&place) => entries[place].1 = value,
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        entries.sort_by_key(|(key, _)| array_index(key).map_or((1, 0), |index| (0, index)));
        out.push('{');
        for (place, (key, value)) in entries.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            write_string(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String) -> Result<(), Flaw> {
        self.enter()?;
        out.push('[');
        let mut count = 0;
        while !self.ends_with(b']', count == 0)? {
            if count > 0 {
                out.push(',');
            }
            self.path.push(PathSegment::Index(count));
            self.value(out)?;
            self.path.pop();
            count += 1;
        }
        out.push(']');
        Ok(())
    }

    /// Steps over the opening bracket.
    fn enter(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        if self.path.len() >= self.limits.depth {
            return Err(self.flaw("is nested too deep: the server's limits.json_depth says how deep it may be"));
        }
        Ok(())
    }

    /// Whether the closing bracket is next; steps over it, or over the comma before the next entry.
    fn ends_with(&mut self, bracket: u8, first: bool) -> Result<bool, Flaw> {
        self.skip_space();
        if self.peek() == Some(bracket) {
            self.at += 1;
            return Ok(true);
        }
        if !first {
            self.expect(b',')?;
            self.skip_space();
        }
        Ok(false)
    }

    fn number(&mut self, out: &mut String) -> Result<(), Flaw> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9')).unwrap_or(rest.len());
        let literal = &rest[..length];
        self.at += length;
        if !is_number(literal) {
            return Err(self.flaw("is not JSON: a number was expected"));
        }
        let number = held(literal).map_err(|problem| self.flaw(format!("{problem}: send it as a string")))?;
        out.push_str(ryu_js::Buffer::new().format_finite(number));
        Ok(())
    }

    fn string(&mut self) -> Result<String, Flaw> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c| matches!(c, '"' | '\\' | '\0'..' '));
            let plain = plain.ok_or_else(|| self.flaw("is not JSON: a string has no end"))?;
            out.push_str(&rest[..plain]);
            self.at += plain + 1;
            if out.len() > self.limits.string_bytes {
                return Err(self.flaw("is a string too long: the server's limits.string_bytes says how long it may be"));
            }
            match rest.as_bytes()[plain] {
                b'"' => return Ok(out),
                b'\\' => {}
                _ => return Err(self.flaw("is not JSON: a string holds a bare control character")),
            }
            let escape = self.peek().ok_or_else(|| self.flaw("is not JSON: a string has no end"))?;
            self.at += 1;
            out.push(match escape {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode_escape()?,
                _ => return Err(self.flaw("is not JSON: it holds an unknown escape")),
            });
        }
    }

    /// The character of a `\u` escape and its four digits, or of two of them that are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Flaw> {
        const LONE: &str = "holds half of a surrogate pair, which is no character";
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.flaw(LONE));
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Err(self.flaw(LONE));
        }
        self.at += 2;
        let second = self.four_digits()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(self.flaw(LONE));
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(|| self.flaw(LONE))
    }

    fn four_digits(&mut self) -> Result<u32, Flaw> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.flaw("is not JSON: four hexadecimal digits were expected"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.peek() != Some(byte) {
            return Err(self.flaw("is not JSON: a comma, colon or bracket is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn flaw(&self, problem: impl Into<String>) -> Flaw {
        let path = self.path.iter().map(|step| match step {
            PathSegment::Key(key) => format!(".{key}"),
            PathSegment::Index(index) => format!("[{index}]"),
        });
        Flaw { path: path.collect(), problem: problem.into() }
    }
}

/// What every receiver reads a literal of JSON's grammar as.
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
/// What is wrong with it, ready to follow its name in a sentence: more than 64 bytes, an integer beyond ±(2^53 - 1), a
/// number that overflows, or an exponent of more than three digits, on which exact decimals of some languages choke.
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

/// Whether a literal is a number in JSON's grammar, which is narrower than Rust's: no `01`, `1.` or `-.5`.
fn is_number(literal: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction) && digits(exponent)
}

/// The array index that a key is, in ECMAScript's eyes: canonical decimal digits up to 2^32 - 2.
fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    key.parse().ok().filter(|index| canonical && *index <= MAX_ARRAY_INDEX)
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
