//! What the answer of a channel must not repeat: the parts of its URL, and its tokens.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Position, Url};

/// A shorter part of a path is a word, not a secret.
const SHORTEST_SEGMENT: usize = 6;

/// The path with its query, each segment of the path, each value of the query, and these secrets: as they stand,
/// percent-decoded and percent-encoded.
pub fn hidden_parts(url: &str, secrets: &[&str]) -> Vec<String> {
    let mut parts: Vec<&str> = secrets.to_vec();
    let url = Url::parse(url);
    if let Ok(url) = &url {
        parts.push(&url[Position::BeforePath..Position::AfterQuery]);
        parts.push(url.path());
        parts.extend(url.path().split('/').filter(|part| part.len() >= SHORTEST_SEGMENT));
        let query = url.query().unwrap_or_default();
        parts.push(query);
        parts.extend(query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value)));
    }
    let forms = |part: &str| {
        let decoded = percent_decode_str(part).decode_utf8_lossy().into_owned();
        let encoded = utf8_percent_encode(&decoded, NON_ALPHANUMERIC).to_string();
        [part.to_owned(), decoded.replace('+', " "), decoded, with_small_escapes(&encoded), encoded]
    };
    parts.into_iter().flat_map(forms).collect()
}

/// The same with small letters in its escapes: `%2f`.
fn with_small_escapes(encoded: &str) -> String {
    let mut left = 0_u8;
    let small = |c: char| {
        left = if c == '%' { 3 } else { left };
        let of_escape = left > 0;
        left = left.saturating_sub(1);
        if of_escape { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(small).collect()
}
