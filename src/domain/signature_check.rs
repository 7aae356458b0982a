//! Recomputes a signature that a receiver got or made, and finds out how it was made if it is wrong.
//!
//! No secret leaves this file, and no signature of a body that was not sent: with it anybody could forge an event.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use data_encoding::HEXLOWER_PERMISSIVE;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    domain::{
        signature::{self, PREFIX, SigningSecret},
        text::escaped,
        timestamp::Timestamp,
        wrong_bodies::{self, Variant},
    },
    error::{Error, Result},
};

/// Characters of each end of a text that are shown.
const EDGE: usize = 24;
/// Attempts whose times are tried: the last ones.
const ATTEMPTS: usize = 5;

/// The two ways in which a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The vendor's header: `sha256=` and hex, over the body.
    Body,
    /// Standard Webhooks: `v1,` and base64, over id, time and body.
    Standard,
}

/// The claim of a receiver.
#[derive(Debug)]
pub struct Claim {
    /// The signature that it got, or that it made.
    pub signature: String,
    /// The body that it verified; `None`: it says nothing about it.
    pub body: Option<String>,
}

/// A sent request, with the secrets that may have signed it.
#[derive(Debug)]
pub struct Sent {
    /// The `webhook-id`.
    pub event: String,
    /// The number of each attempt, and when it began.
    pub attempts: Vec<(u32, Timestamp)>,
    /// The body.
    pub body: String,
    /// The secret in words, and the secret; the one that signed the last attempt is the first.
    pub secrets: Vec<(&'static str, SigningSecret)>,
}

/// A scheme, applied to the sent request.
#[derive(Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// The scheme.
    pub scheme: Scheme,
    /// The attempt whose time was signed; `None` if the time is not signed.
    pub attempt: Option<u32>,
    /// The number of bytes that were signed.
    pub length: usize,
    /// The beginning of the signed text.
    pub begins: String,
    /// Its end.
    pub ends: String,
    /// The secret, in words.
    pub secret: &'static str,
    /// The value of the header.
    pub expected: String,
}

/// Where a signature comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is right.
    Right,
    /// It is the signature of another text, or with another key.
    Wrong {
        /// The text, in words.
        text: &'static str,
        /// The key, in words.
        key: String,
        /// What to do about it.
        remedies: Vec<&'static str>,
    },
    /// None of the usual mistakes gives it.
    Unknown,
}

/// The first difference between the body that was sent and the one that a receiver verified.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of bytes before it.
    pub at: usize,
    /// The body that was sent, from a little before it.
    pub sent: String,
    /// The receiver's body from there.
    pub given: String,
    /// The length of the receiver's body, in bytes.
    pub length: usize,
    /// Whether both say the same, in other characters.
    pub is_same_json: bool,
}

/// The result.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The signature of the sent request, by the scheme of the claim.
    pub recomputed: Recomputed,
    /// Where the claimed signature comes from.
    pub finding: Finding,
    /// How the claimed body differs; `None` if it does not, or none was given.
    pub difference: Option<Difference>,
}

/// A signature as it was given.
struct Given {
    scheme: Scheme,
    mac: [u8; 32],
}

/// Checks a claim about a delivery.
///
/// # Errors
/// [`Error::Invalid`] for a text that is no signature.
pub fn check(sent: &Sent, claim: &Claim) -> Result<Check> {
    let given = read(&claim.signature)?;
    // A browser sends line ends of a text field as CR LF; a body that was sent has none.
    let body = claim.body.as_deref().map(|body| body.replace("\r\n", "\n"));
    let right = right(sent, &given);
    let scheme = given.first().map_or(Scheme::Body, |given| given.scheme);
    let finding = if right.is_some() { Finding::Right } else { wrong(sent, &given, body.as_deref()) };
    let recomputed = right.or_else(|| expected(sent, scheme).pop()).ok_or_else(|| {
        Error::request("nothing can be recomputed: the secret that signed this delivery is not there any more")
    })?;
    Ok(Check { recomputed, finding, difference: body.as_deref().and_then(|body| difference(&sent.body, body)) })
}

/// Reads a header's value, with or without the name of the header and of the scheme.
fn read(text: &str) -> Result<Vec<Given>> {
    let value = text.rsplit_once(": ").map_or(text, |(_, value)| value);
    let entries = value.split_whitespace().map(|entry| entry.trim_matches(['"', '\'', ';']));
    let hex = |text: &str| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let base64 = |text: &str| BASE64_STANDARD.decode(text).ok();
    let read = |entry: &str| {
        let (scheme, mac) = if let Some(rest) = entry.strip_prefix("sha256=") {
            (Scheme::Body, hex(rest))
        } else if let Some(rest) = entry.strip_prefix("v1,") {
            (Scheme::Standard, base64(rest))
        } else if entry.len() == 64 {
            (Scheme::Body, hex(entry))
        } else {
            (Scheme::Standard, base64(entry))
        };
        Some(Given { scheme, mac: mac?.try_into().ok()? })
    };
    let given: Vec<Given> = entries.filter_map(read).collect();
    if given.is_empty() {
        // The text is not repeated: somebody may have pasted a secret.
        return Err(Error::request(
            "this is no signature: it should be sha256= and 64 hexadecimal digits, or v1, and 44 characters of base64",
        ));
    }
    Ok(given)
}

/// The signatures of the sent request in this scheme, by each secret: the former secret and the first attempt come
/// first.
fn expected(sent: &Sent, scheme: Scheme) -> Vec<Recomputed> {
    let of = |(name, secret): &(&'static str, SigningSecret), attempt: Option<(u32, Timestamp)>| {
        let prefix = attempt.map_or(String::new(), |(_, at)| prefix(sent, at));
        Recomputed {
            scheme,
            attempt: attempt.map(|(number, _)| number),
            length: prefix.len() + sent.body.len(),
            begins: begins(&[prefix.as_str(), &sent.body].concat()),
            ends: ends(&sent.body),
            secret: name,
            expected: match attempt {
                Some((_, at)) => secret.sign_standard(&sent.event, at, sent.body.as_bytes()),
                None => secret.sign_body(sent.body.as_bytes()),
            },
        }
    };
    let secrets = sent.secrets.iter().rev();
    match scheme {
        Scheme::Body => secrets.map(|secret| of(secret, None)).collect(),
        Scheme::Standard => {
            secrets.flat_map(|secret| last(sent).map(move |attempt| of(secret, Some(attempt)))).collect()
        }
    }
}

/// The last attempts, the oldest first.
fn last(sent: &Sent) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
    sent.attempts[sent.attempts.len().saturating_sub(ATTEMPTS)..].iter().copied()
}

fn prefix(sent: &Sent, at: Timestamp) -> String {
    format!("{}.{}.", sent.event, at.unix_seconds())
}

/// The scheme, secret and attempt of which one of the given signatures is the right one.
fn right(sent: &Sent, given: &[Given]) -> Option<Recomputed> {
    let is_one = |entry: &str, given: &Given| read(entry).is_ok_and(|own| own.iter().any(|own| same(&own.mac, given)));
    let schemes = [Scheme::Body, Scheme::Standard].into_iter();
    let mut all = schemes.flat_map(|scheme| expected(sent, scheme).into_iter().rev());
    all.find(|made| given.iter().any(|given| given.scheme == made.scheme && is_one(&made.expected, given)))
}

fn same(mac: &[u8; 32], given: &Given) -> bool {
    mac.ct_eq(&given.mac).into()
}

/// How a wrong signature was made.
fn wrong(sent: &Sent, given: &[Given], body: Option<&str>) -> Finding {
    let texts = wrong_bodies::of(&sent.body, body);
    let mut prefixes = vec![String::new()];
    prefixes.extend(last(sent).map(|(_, at)| prefix(sent, at)));
    for (name, secret) in &sent.secrets {
        for (form, key) in keys(secret) {
            for Variant { words, remedy, text } in &texts {
                for prefix in &prefixes {
                    let mac = signature::mac(&key, &[prefix.as_bytes(), text.as_bytes()]);
                    let Some(given) = given.iter().find(|given| same(&mac, given)) else { continue };
                    return explained((*words, *remedy), (form, *name), prefix.is_empty(), given.scheme);
                }
            }
        }
    }
    Finding::Unknown
}

fn explained(
    (text, remedy): (&'static str, &'static str),
    (form, secret): (Form, &'static str),
    alone: bool,
    scheme: Scheme,
) -> Finding {
    let mut remedies = vec![remedy];
    remedies.push(match (scheme, alone) {
        (Scheme::Standard, true) => "webhook-signature signs id.timestamp.body, not the body alone.",
        (Scheme::Body, false) => "This header signs the body alone, without id and time.",
        _ => "",
    });
    remedies.push(form.remedy(scheme));
    remedies.retain(|remedy| !remedy.is_empty());
    Finding::Wrong { text, key: format!("{} ({secret})", form.words()), remedies }
}

/// What receivers make of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    WithLineEnd,
    WithoutPrefix,
    Decoded,
}

impl Form {
    const fn words(self) -> &'static str {
        match self {
            Self::Text => "the text of the secret",
            Self::WithLineEnd => "the secret with a line end after it",
            Self::WithoutPrefix => "the text of the secret after whsec_",
            Self::Decoded => "the bytes of which the secret is the base64",
        }
    }

    const fn remedy(self, scheme: Scheme) -> &'static str {
        match (self, scheme) {
            (Self::WithLineEnd, _) => "Remove the line end from the file or the variable that holds the secret.",
            (Self::WithoutPrefix, Scheme::Body) => {
                "Keep whsec_: for this header the key is the whole text of the secret."
            }
            (Self::WithoutPrefix, Scheme::Standard) => "Decode the base64 after whsec_: its bytes are the key.",
            (Self::Decoded, Scheme::Body) => "Decode nothing: for this header the key is the whole text of the secret.",
            (Self::Text, Scheme::Standard) => {
                "The key of a secret that is whsec_ and base64 is what the base64 stands for; of any other secret, its text."
            }
            (Self::Text, Scheme::Body) | (Self::Decoded, Scheme::Standard) => "",
        }
    }
}

/// The keys that receivers make of this secret.
fn keys(secret: &SigningSecret) -> Vec<(Form, Zeroizing<Vec<u8>>)> {
    let text = secret.expose();
    let bytes = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    let rest = text.strip_prefix(PREFIX);
    let mut with_line_end = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    with_line_end.extend_from_slice(text.as_bytes());
    with_line_end.push(b'\n');
    let mut keys = vec![(Form::Text, bytes(text)), (Form::WithLineEnd, with_line_end)];
    keys.extend(rest.map(|rest| (Form::WithoutPrefix, bytes(rest))));
    let decoded = BASE64_STANDARD.decode(rest.unwrap_or(text)).ok();
    keys.extend(decoded.map(|key| (Form::Decoded, Zeroizing::new(key))));
    keys
}

fn begins(text: &str) -> String {
    let end = text.char_indices().nth(EDGE).map_or(text.len(), |(end, _)| end);
    escaped(&text[..end]).into_owned()
}

fn ends(text: &str) -> String {
    let start = text.char_indices().nth_back(EDGE - 1).map_or(0, |(start, _)| start);
    escaped(&text[start..]).into_owned()
}

/// How the receiver's body differs from the one that was sent.
fn difference(sent: &str, given: &str) -> Option<Difference> {
    if sent == given {
        return None;
    }
    let same = sent.bytes().zip(given.bytes()).take_while(|(sent, given)| sent == given).count();
    let from = sent.floor_char_boundary(same.saturating_sub(EDGE / 2));
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let is_same_json = parse(sent).is_some_and(|sent| parse(given) == Some(sent));
    Some(Difference {
        at: same,
        sent: begins(&sent[from..]),
        given: begins(&given[from..]),
        length: given.len(),
        is_same_json,
    })
}
