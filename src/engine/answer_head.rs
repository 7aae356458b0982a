//! The head of an answer, read byte by byte as it comes.
//!
//! The status counts, whatever is wrong around it. So this parser refuses nothing after a status, and keeps only what the
//! sender uses: the status, `Retry-After`, and where the body ends. It writes a plain head of these for ureq. It needs the
//! same small memory for every head.

use crate::domain::failure_details::MAX_KEPT_HEADERS;

/// Bytes of one head that are read; a longer one is cut off.
const MOST_READ: usize = 256 << 10;
/// Bytes of one header that are kept, its continuation lines included. No header that the sender uses is longer.
const MOST_KEPT: usize = 1 << 10;
/// How each version of HTTP begins.
const PROTOCOL: &[u8] = b"HTTP/";

/// Why a head cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It does not begin with a status line.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// It has no end within [`MOST_READ`].
    #[error("the head of the answer is too long")]
    TooLong,
}

/// The length of the body, as the headers give it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    /// There is no `Content-Length`.
    #[default]
    Unsaid,
    Bytes(u64),
    /// It is no number, or there are several that differ.
    Unclear,
}

/// The transfer coding of the body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Unsaid,
    Chunked,
    /// One whose end only the end of the connection shows.
    Other,
}

/// A head that is being read.
#[derive(Debug, Default)]
pub(super) struct AnswerHead {
    /// The present line, without its end.
    line: Vec<u8>,
    /// The last byte was a carriage return.
    returned: bool,
    /// The header before the present line, which may continue it.
    header: Vec<u8>,
    /// Bytes of it so far.
    seen: usize,
    status: Option<u16>,
    /// HTTP/1.0 or older.
    is_old: bool,
    length: Length,
    coding: Coding,
    retry_after: Option<String>,
    closes: bool,
    /// The first headers of an answer that is no success.
    headers: Vec<(String, Vec<u8>)>,
    /// Their bytes.
    headers_bytes: usize,
}

impl AnswerHead {
    /// Reads on. Gives the number of bytes that were read, and whether the head of the final answer is complete with
    /// them. Interim answers before it are skipped.
    ///
    /// # Errors
    /// A head that cannot be read further. The status may be known nevertheless.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), Unreadable> {
        for (place, byte) in bytes.iter().enumerate() {
            self.seen += 1;
            if self.seen > MOST_READ {
                return Err(Unreadable::TooLong);
            }
            if self.take(*byte)? {
                return Ok((place + 1, true));
            }
        }
        if self.status.is_none() && !may_be_http(&self.line) {
            return Err(Unreadable::NotHttp);
        }
        Ok((bytes.len(), false))
    }

    /// The status of the final answer, as soon as it can be read.
    pub(super) fn status(&self) -> Option<u16> {
        let is_whole = || self.returned || has_delimiter(&self.line);
        let begun = || status_of(&self.line).filter(|_| is_whole()).map(|(status, _)| status);
        self.status.or_else(begun).filter(|status| !is_interim(*status))
    }

    /// The text of the first `Retry-After` so far.
    pub(super) fn retry_after(&self) -> Option<&str> {
        let begun = || {
            let (name, value) = split(&self.header)?;
            std::str::from_utf8(value).ok().filter(|_| name.trim_ascii_end().eq_ignore_ascii_case(b"retry-after"))
        };
        self.retry_after.as_deref().or_else(begun)
    }

    /// The first headers of an answer that is no success, for people.
    pub(super) fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// The head as ureq gets it. It asks to close the connection if anything about the answer was odd.
    pub(super) fn cleaned(&self) -> Vec<u8> {
        let status = self.status.unwrap_or_default();
        let (body, closes) = match (self.coding, self.length) {
            (Coding::Chunked, length) => ("transfer-encoding: chunked\r\n".to_owned(), length != Length::Unsaid),
            (Coding::Unsaid, Length::Bytes(length)) => {
                (format!("content-length: {length}\r\n"), status == 204 && length > 0)
            }
            _ => (String::new(), !matches!(status, 204 | 304)),
        };
        let close = if closes || self.closes { "connection: close\r\n" } else { "" };
        format!("HTTP/1.1 {status} \r\n{body}{close}\r\n").into_bytes()
    }

    /// Takes one byte; true if it ends the head of the final answer.
    fn take(&mut self, byte: u8) -> Result<bool, Unreadable> {
        let returned = std::mem::replace(&mut self.returned, byte == b'\r');
        if byte == b'\n' {
            // A line feed alone ends a line too.
            self.closes |= !returned;
            return self.end_line();
        }
        if returned {
            self.closes = true;
            self.keep(b'\r');
        }
        if byte != b'\r' {
            self.keep(byte);
        }
        Ok(false)
    }

    fn keep(&mut self, byte: u8) {
        if self.line.len() < MOST_KEPT {
            self.line.push(byte);
        }
    }

    fn end_line(&mut self) -> Result<bool, Unreadable> {
        let line = std::mem::take(&mut self.line);
        match (self.status, line.first()) {
            // An empty line before the status line.
            (None, None) => self.closes = true,
            (None, _) => self.status_line(&line)?,
            (Some(status), None) => {
                self.end_header();
                if is_interim(status) {
                    *self = Self { closes: self.closes, ..Self::default() };
                    return Ok(false);
                }
                return Ok(true);
            }
            (_, Some(b' ' | b'\t')) => {
                self.closes = true;
                let left = MOST_KEPT.saturating_sub(self.header.len());
                self.header.extend(line.into_iter().take(left));
            }
            _ => {
                self.end_header();
                self.header = line;
            }
        }
        Ok(false)
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        let (status, version) = status_of(line).ok_or(Unreadable::NotHttp)?;
        self.status = Some(status);
        self.is_old = version.starts_with(b"0") || version.starts_with(b"1.0");
        self.closes |= !line.starts_with(b"HTTP/1.1 ");
        Ok(())
    }

    /// Takes the header that no further line continues.
    fn end_header(&mut self) {
        let header = std::mem::take(&mut self.header);
        if header.is_empty() {
            return;
        }
        let Some((name, value)) = split(&header) else {
            self.closes = true;
            return;
        };
        let is_cut = header.len() >= MOST_KEPT;
        self.closes |= name.is_empty() || !name.iter().all(u8::is_ascii_graphic);
        let name = name.trim_ascii_end();
        if !matches!(self.status, Some(200..300)) && self.headers_bytes <= MAX_KEPT_HEADERS {
            self.headers_bytes += header.len();
            self.headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
        }
        self.closes |= value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.transfer_encoding(value, is_cut);
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.closes |= is_cut || tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
        } else if name.eq_ignore_ascii_case(b"retry-after") && self.retry_after.is_none() {
            self.retry_after = std::str::from_utf8(value).ok().map(str::to_owned);
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        let read = |token: &[u8]| {
            let is_number = !token.is_empty() && token.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(token).ok().filter(|_| is_number)?.parse().ok();
            length.map(Length::Bytes)
        };
        for token in tokens(value) {
            let said = read(token).unwrap_or(Length::Unclear);
            self.closes |= self.length != Length::Unsaid || said == Length::Unclear;
            self.length = if self.length == Length::Unsaid || self.length == said { said } else { Length::Unclear };
        }
    }

    fn transfer_encoding(&mut self, value: &[u8], is_cut: bool) {
        let is_chunked = tokens(value).last().is_some_and(|token| token.eq_ignore_ascii_case(b"chunked"));
        self.closes |= !value.eq_ignore_ascii_case(b"chunked") || self.coding != Coding::Unsaid || self.is_old;
        self.coding = if is_chunked && !is_cut && !self.is_old { Coding::Chunked } else { Coding::Other };
    }
}

/// The name of a header, and its value without the white space around it.
fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = header.iter().position(|byte| *byte == b':')?;
    Some((&header[..colon], header[colon + 1..].trim_ascii()))
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether another answer follows this one. After 101 the connection speaks another protocol: nothing follows.
const fn is_interim(status: u16) -> bool {
    status < 200 && status != 101
}

/// Whether a line that has begun so can be a status line.
fn may_be_http(line: &[u8]) -> bool {
    let length = line.len().min(PROTOCOL.len());
    line[..length].eq_ignore_ascii_case(&PROTOCOL[..length])
}

/// The status and the version of a status line: `HTTP/`, a version, white space, three digits.
fn status_of(line: &[u8]) -> Option<(u16, &[u8])> {
    let rest = line.get(PROTOCOL.len()..).filter(|_| may_be_http(line))?;
    let end = rest.iter().position(u8::is_ascii_whitespace)?;
    let (version, rest) = (&rest[..end], rest[end..].trim_ascii_start());
    let digits = rest.split(u8::is_ascii_whitespace).next()?;
    let is_version =
        version.first()?.is_ascii_digit() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let is_status = digits.len() == 3 && digits.iter().all(u8::is_ascii_digit);
    let status = std::str::from_utf8(digits).ok().filter(|_| is_version && is_status)?.parse().ok()?;
    (status >= 100).then_some((status, version))
}

/// Whether something follows the status in a line that may go on: it has no further digit.
fn has_delimiter(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let status = words.nth(1);
    status.is_some() && (words.next().is_some() || line.last().is_some_and(u8::is_ascii_whitespace))
}
