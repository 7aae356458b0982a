//! Excerpts of other people's texts for our messages: an error repeats enough of a text to recognise it, and never all.
//! They are of one line.

use std::borrow::Cow;

use super::text::escaped;

/// How many characters of each end are kept.
const EDGE: usize = 60;

/// The text itself if it is short, else its two ends: the beginning identifies it, and other programs' messages end
/// with the expected value. Hidden characters are escaped.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    let head = text.char_indices().nth(EDGE);
    let tail = text.char_indices().nth_back(EDGE - 1);
    match (head, tail) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            escaped(&format!("{}...{}", &text[..head], &text[tail..])).into_owned().into()
        }
        _ => escaped(text),
    }
}
