//! As much of HTTP/1.1 as publishers and receivers need: where a message with a `content-length` ends. Cheap, because
//! the benchmark shares two cores with the measured program.

use std::ops::Range;

/// The length of the head, with its empty line, and the range of the body: once the whole message is there.
pub fn whole(bytes: &[u8]) -> Option<Range<usize>> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let end = head + content_length(&bytes[..head]);
    (bytes.len() >= end).then_some(head..end)
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)));
    let digits = line.map_or(&[][..], |line| line[NAME.len()..].trim_ascii());
    number(digits).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

/// The number that the text begins with.
pub fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
