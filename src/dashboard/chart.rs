//! Charts, drawn on the server: bars of delivered attempts with failed ones on top, and the same numbers as text.

use super::format::{Moment, thousands};
use crate::domain::{stats::Stats, timestamp::Timestamp};

/// The size of a chart in its own units; the page scales it.
const WIDTH: u64 = 480;
const HEIGHT: u64 = 140;
/// The height below the bars: the axis and its labels.
const FOOT: u64 = 18;
/// The height above the bars: the largest number.
const HEAD: u64 = 14;

/// One bar: both of its parts, in units of the chart.
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) delivered_y: u64,
    pub(super) delivered_height: u64,
    pub(super) failed_y: u64,
    pub(super) failed_height: u64,
}

/// One line of the table behind a chart.
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) delivered: u64,
    pub(super) failed: u64,
}

pub(super) struct Chart {
    /// Its id within the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// A sentence that says what the chart shows.
    pub(super) said: String,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    pub(super) most: String,
    pub(super) first: &'static str,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) base: u64,
}

impl Chart {
    /// A chart of these spans, the present one last; `first` labels its beginning.
    pub(super) fn new(
        id: &'static str,
        title: &'static str,
        first: &'static str,
        series: &[(Timestamp, Stats)],
        now: Timestamp,
    ) -> Self {
        let (base, room) = (HEIGHT - FOOT, HEIGHT - FOOT - HEAD);
        let most = series.iter().map(|(_, tally)| tally.delivered + tally.failed).max().unwrap_or(0);
        let step = WIDTH / u64::try_from(series.len().max(1)).unwrap_or(1);
        // A number above zero is always visible.
        let tall = |count: u64| if count == 0 { 0 } else { (count * room / most.max(1)).max(2) };
        let bars = series.iter().zip(0..).filter(|((_, tally), _)| tally.delivered + tally.failed > 0);
        let bars = bars.map(|((_, tally), place)| {
            let (delivered, failed) = (tall(tally.delivered), tall(tally.failed));
            Bar {
                x: place * step,
                width: step.saturating_sub(2).max(1),
                delivered_y: base - delivered,
                delivered_height: delivered,
                failed_y: (base - delivered).saturating_sub(failed),
                failed_height: failed,
            }
        });
        let lines = series.iter().rev().filter(|(_, tally)| tally.delivered + tally.failed > 0);
        let lines = lines.map(|(at, tally)| Line {
            at: Moment::new(*at, now),
            delivered: tally.delivered,
            failed: tally.failed,
        });
        let sum = |part: fn(&Stats) -> u64| series.iter().map(|(_, tally)| part(tally)).sum::<u64>();
        let said = format!(
            "{} delivered, {} attempts failed",
            thousands(sum(|tally| tally.delivered)),
            thousands(sum(|tally| tally.failed))
        );
        Self {
            id,
            title,
            said,
            bars: bars.collect(),
            lines: lines.collect(),
            most: thousands(most),
            first,
            width: WIDTH,
            height: HEIGHT,
            base,
        }
    }
}
