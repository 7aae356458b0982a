//! Attempts and answers as pages show them.

use super::{
    alike::Alike,
    format::{self, Moment, took},
    frame::Frame,
    views::meaning,
};
use crate::domain::{delivery::Attempt, timestamp::Timestamp};

/// Most bytes of an answer among the attempts of a page.
const ANSWER: usize = 512;
/// Most attempts whose answers are in the page: the last ones.
const ANSWERS: usize = 5;

/// What an attempt came to, in words.
fn said(attempt: &Attempt) -> String {
    match (attempt.failure, attempt.status) {
        (None, Some(status)) => format!("answered {status}"),
        (None, None) => "delivered".to_owned(),
        (Some(failure), Some(status)) => format!("answered {status}: {}", meaning(failure)),
        (Some(failure), None) => format!("{failure}: {}", meaning(failure)),
    }
}

/// Why an attempt failed, in words for who looks; empty if its class and status say it all.
pub(super) fn reason(frame: &Frame<'_>, attempt: &Attempt) -> String {
    let reason = if frame.operator { attempt.details.reason.as_deref() } else { attempt.reason_for_account() };
    reason.unwrap_or_default().to_owned()
}

/// The last answer of a receiver.
pub(super) struct Answer {
    pub(super) said: String,
    pub(super) at: Moment,
    pub(super) took: String,
    pub(super) reason: String,
    pub(super) headers: String,
    pub(super) body: String,
    pub(super) truncated: bool,
}

impl Answer {
    pub(super) fn new(frame: &Frame<'_>, attempt: &Attempt) -> Self {
        Self {
            said: said(attempt),
            at: precise(frame, attempt),
            took: attempt.duration.map(took).unwrap_or_default(),
            reason: reason(frame, attempt),
            headers: attempt.details.headers.clone().unwrap_or_default(),
            body: String::from_utf8_lossy(&attempt.response).into_owned(),
            truncated: attempt.truncated,
        }
    }
}

fn precise(frame: &Frame<'_>, attempt: &Attempt) -> Moment {
    Moment { exact: attempt.started_at.precise(), ..frame.when(attempt.started_at) }
}

/// One attempt in the line.
pub(super) struct Step {
    pub(super) number: u32,
    pub(super) at: Moment,
    pub(super) took: String,
    pub(super) good: bool,
    pub(super) said: String,
    pub(super) reason: String,
    pub(super) answer: String,
    pub(super) headers: String,
    pub(super) truncated: bool,
    /// The wait after it; and the next attempt, if it has yet to come.
    pub(super) next: Option<(String, Option<Moment>)>,
}

impl Step {
    /// A step; `next` is the attempt after it, or its due time if it has yet to come.
    fn new(
        frame: &Frame<'_>,
        attempt: &Attempt,
        next: Result<Timestamp, Option<Timestamp>>,
        with_answer: bool,
    ) -> Self {
        let ended = attempt.started_at + attempt.duration.unwrap_or_default();
        let shown = if with_answer { attempt.response.len().min(ANSWER) } else { 0 };
        Self {
            number: attempt.number,
            at: precise(frame, attempt),
            took: attempt.duration.map(took).unwrap_or_default(),
            good: attempt.failure.is_none(),
            said: said(attempt),
            reason: reason(frame, attempt),
            headers: attempt.details.headers.clone().filter(|_| with_answer).unwrap_or_default(),
            answer: String::from_utf8_lossy(&attempt.response[..shown]).into_owned(),
            truncated: attempt.truncated || shown < attempt.response.len(),
            next: match next {
                Ok(at) => Some((format::long_span(at.since(ended)), None)),
                Err(due) => due.map(|at| (format::long_span(at.since(ended)), Some(frame.when(at)))),
            },
        }
    }

    /// The attempts, those alike put together; the next one is due at this time. The last one has its answer elsewhere.
    pub(super) fn line(frame: &Frame<'_>, attempts: &[Attempt], due: Option<Timestamp>) -> Vec<Alike<Self>> {
        let with_answer = attempts.len().saturating_sub(ANSWERS)..attempts.len().saturating_sub(1);
        let steps = attempts.iter().zip(0..);
        let steps = steps.map(|(attempt, place)| {
            let next = attempts.get(place + 1).map(|next| next.started_at).ok_or(due);
            Self::new(frame, attempt, next, with_answer.contains(&place))
        });
        Alike::runs(steps, |step| (step.said.clone(), step.reason.clone()))
    }
}
