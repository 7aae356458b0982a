//! What others sent, cut for a sentence of ours: a refusal repeats enough to know it by, and never all of it.

use std::borrow::Cow;

/// How many characters of each end are kept.
const EDGE: usize = 60;

/// The text itself if it is short, else its two ends: the beginning names it, and messages of others end in what they
/// expected.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    let head = text.char_indices().nth(EDGE);
    let tail = text.char_indices().nth_back(EDGE - 1);
    match (head, tail) {
        (Some((head, _)), Some((tail, _))) if head < tail => format!("{}...{}", &text[..head], &text[tail..]).into(),
        _ => text.into(),
    }
}
