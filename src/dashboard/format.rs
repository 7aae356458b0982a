//! Times, spans, sizes and JSON as people read them. Pure functions.

use std::time::Duration;

use crate::domain::{profile::RetryPolicy, timestamp::Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Extra bytes of an escaped character such as `<` in a page.
const ESCAPE: usize = 4;
/// JSON is indented up to this depth.
const DEEPEST: usize = 20;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment as a page shows it: in words, by the clock, and exactly.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// `4 min ago`, `in 2 h`.
    pub(super) words: String,
    /// The time of day in UTC, with the date if it is not today's: `20 Apr 11:55`. With a script the page shows it in
    /// the zone of its browser.
    pub(super) clock: String,
    /// RFC 3339, for programs, and as a hint.
    pub(super) exact: String,
}

impl Moment {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let words = match (now.since(at), at.since(now)) {
            (past, _) if past >= Duration::from_secs(1) => format!("{} ago", span(past)),
            (_, ahead) if ahead >= Duration::from_secs(1) => format!("in {}", span(ahead)),
            _ => "now".to_owned(),
        };
        Self { words, clock: clock(at, now), exact: at.to_string() }
    }
}

fn clock(at: Timestamp, now: Timestamp) -> String {
    let (text, today) = (at.to_string(), now.to_string());
    let month = text[5..7].parse().ok().and_then(|month: usize| MONTHS.get(month.checked_sub(1)?)).copied();
    let (year, day, time) = (&text[..4], text[8..10].trim_start_matches('0'), &text[11..16]);
    match month {
        _ if text[..10] == today[..10] => time.to_owned(),
        Some(month) if text[..4] == today[..4] => format!("{day} {month} {time}"),
        month => format!("{day} {} {year} {time}", month.unwrap_or_default()),
    }
}

/// A moment as a field of a form holds it, in UTC: `2026-04-20T11:55`.
pub(super) fn field(at: Timestamp) -> String {
    at.to_string()[..16].to_owned()
}

/// The beginning of the day of this moment, in UTC.
pub(super) fn midnight(at: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY).unwrap_or(i64::MAX).saturating_mul(1000);
    Timestamp::from_millis(at.millis().div_euclid(day) * day)
}

/// A span in its largest unit: `12 s`, `4 min`, `2 h`, `3 d`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        DAY.. => format!("{} d", seconds / DAY),
    }
}

/// A span in its two largest units: `2 h 35 min`.
pub(super) fn long_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(seconds / DAY, "d"), (seconds / HOUR % 24, "h"), (seconds / MINUTE % 60, "min"), (seconds % 60, "s")];
    let Some(first) = units.iter().position(|(count, _)| *count > 0) else {
        return if span.is_zero() { "no time".to_owned() } else { format!("{} ms", span.as_millis()) };
    };
    let said = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    said.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// How long something took: `84 ms`, `1.2 s`.
pub(super) fn took(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// A retry schedule: `5 attempts over 2 h 35 min`.
pub(super) fn schedule(policy: &RetryPolicy) -> String {
    let waits: Duration = (1..policy.max_attempts).filter_map(|tries| policy.wait_after(tries)).sum();
    match policy.max_attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts over {}", long_span(waits)),
    }
}

/// The waits of a schedule: `30 s, 5 min, 30 min, 2 h`.
pub(super) fn waits(policy: &RetryPolicy) -> String {
    let waits = (1..policy.max_attempts.min(12)).filter_map(|tries| policy.wait_after(tries)).map(long_span);
    waits.collect::<Vec<_>>().join(", ")
}

/// `1 delivery`, `2 deliveries`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut said = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// Bytes in a unit that fits: `18.2 MB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} bytes");
    }
    let mut size = number as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// JSON with a line for each part, up to `most` bytes of a page; and whether it was cut. Only white space between
/// tokens is added, so every number keeps its own literal.
pub(super) fn indented(json: &str, most: usize) -> (String, bool) {
    let mut out = String::with_capacity(most.min(json.len() * 2));
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let (mut rest, mut marks) = (json.chars().peekable(), 0);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    while let Some(next) = rest.next() {
        if out.len() + ESCAPE * marks >= most {
            return (out, true);
        }
        marks += usize::from(matches!(next, '<' | '>' | '&' | '"' | '\''));
        if quoted {
            quoted = next != '"' || escaped;
            escaped = next == '\\' && !escaped;
            out.push(next);
            continue;
        }
        match next {
            '"' => {
                quoted = true;
                out.push(next);
            }
            '{' | '[' => {
                out.push(next);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(next);
            }
            ',' => {
                out.push(next);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    (out, false)
}

/// A text as one word of a POSIX shell.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
