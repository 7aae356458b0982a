//! Charts, drawn on the server: bars of delivered attempts with failed ones on top, and the same numbers as text.

use std::time::Duration;

use super::{
    format::{Moment, thousands},
    query_string::QueryString,
};
use crate::domain::{stats::Stats, timestamp::Timestamp};

/// The size of a chart in its own units; the page scales it.
const WIDTH: u64 = 480;
const HEIGHT: u64 = 150;
/// The width left of the bars: the numbers.
const LEFT: u64 = 40;
/// The height below the bars: the axis and its hours.
const FOOT: u64 = 18;
/// The height above the bars: half a line of the largest number.
const HEAD: u64 = 8;
/// The length of a bar in seconds, up to which the axis has a tick at each multiple of the other number of seconds.
const TICKS: [(i64, i64); 3] = [(60, 900), (3600, 6 * 3600), (i64::MAX, 86_400)];

/// One bar: both of its parts, in units of the chart.
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) delivered_y: u64,
    pub(super) delivered_height: u64,
    pub(super) failed_y: u64,
    pub(super) failed_height: u64,
    /// Its time by the clock, in UTC.
    pub(super) time: String,
    /// Its beginning and its end, for the page's script.
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Its numbers, in words.
    pub(super) said: String,
    /// The address of the deliveries that were made in its time.
    pub(super) href: String,
}

/// A mark at an axis: its place, and its label.
pub(super) struct Tick {
    pub(super) at: u64,
    pub(super) label: String,
    /// The moment that it stands for, if it stands for one.
    pub(super) moment: Option<Timestamp>,
}

/// One line of the table behind a chart.
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) href: String,
    pub(super) delivered: u64,
    pub(super) failed: u64,
}

pub(super) struct Chart {
    /// Its id within the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// The chart in a sentence.
    pub(super) said: String,
    /// When it begins, in words.
    pub(super) first: &'static str,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    /// The numbers, by their height.
    pub(super) numbers: Vec<Tick>,
    /// The hours or days, by their place.
    pub(super) times: Vec<Tick>,
    pub(super) left: u64,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) base: u64,
}

impl Chart {
    /// A chart of these spans, the present one last; `first` says when it begins. Its bars lead to the deliveries of one
    /// webhook, or of all.
    pub(super) fn new(
        (id, title, first): (&'static str, &'static str, &'static str),
        series: &[(Timestamp, Stats)],
        webhook: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let (base, room) = (HEIGHT - FOOT, HEIGHT - FOOT - HEAD);
        let top = round(series.iter().map(|(_, tally)| tally.delivered + tally.failed).max().unwrap_or(0));
        let step = (WIDTH - LEFT) / u64::try_from(series.len().max(1)).unwrap_or(1);
        let length = series.get(1).map_or(Duration::ZERO, |second| second.0.since(series[0].0));
        // A number above zero is always visible.
        let tall = |count: u64| if count == 0 { 0 } else { (count * room / top).max(2) };
        let shown = series.iter().zip(0..).filter(|((_, tally), _)| tally.delivered + tally.failed > 0);
        let bars = shown.map(|((at, tally), place)| {
            let (delivered, failed) = (tall(tally.delivered), tall(tally.failed));
            Bar {
                x: LEFT + place * step,
                width: step.saturating_sub(2).max(1),
                delivered_y: base - delivered,
                delivered_height: delivered,
                failed_y: (base - delivered).saturating_sub(failed),
                failed_height: failed,
                time: format!("{} to {}", clock(*at), clock(*at + length)),
                from: *at,
                to: *at + length,
                said: numbers(tally),
                href: made_within(webhook, *at, *at + length),
            }
        });
        let lines = series.iter().rev().filter(|(_, tally)| tally.delivered + tally.failed > 0);
        let lines = lines.map(|(at, tally)| Line {
            at: Moment::new(*at, now),
            href: made_within(webhook, *at, *at + length),
            delivered: tally.delivered,
            failed: tally.failed,
        });
        let mut sum = Stats::default();
        series.iter().for_each(|(_, tally)| sum.add(tally));
        let heights = if top.is_multiple_of(2) { vec![top, top / 2, 0] } else { vec![top, 0] };
        Self {
            id,
            title,
            said: numbers(&sum),
            first,
            bars: bars.collect(),
            lines: lines.collect(),
            numbers: heights
                .iter()
                .map(|most| Tick { at: base - most * room / top, label: short(*most), moment: None })
                .collect(),
            times: times(series, length, step),
            left: LEFT,
            width: WIDTH,
            height: HEIGHT,
            base,
        }
    }
}

/// The ticks of the time axis, which leave room for the word at its end.
fn times(series: &[(Timestamp, Stats)], length: Duration, step: u64) -> Vec<Tick> {
    let length = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1);
    let every = TICKS.iter().find(|(upto, _)| length <= *upto).map_or(1, |(_, every)| *every);
    let ticks = series.iter().zip(0..).filter_map(|((at, _), place)| {
        // The last multiple within the bar, if there is one.
        let start = at.unix_seconds();
        let tick = (start + length - 1).div_euclid(every) * every;
        let within = u64::try_from(tick - start).ok()? * step / length.unsigned_abs();
        let moment = Timestamp::from_millis(tick * 1000);
        let text = moment.to_string();
        let label = if every < 86_400 { text.get(11..16) } else { text.get(5..10) };
        Some(Tick { at: LEFT + place * step + within, label: label?.to_owned(), moment: Some(moment) })
    });
    ticks.filter(|tick| (LEFT + 20..WIDTH - 60).contains(&tick.at)).collect()
}

/// The next round number: 1, 2 or 5, and zeros.
fn round(most: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        if let Some(round) = [1, 2, 5].into_iter().map(|digit| unit.saturating_mul(digit)).find(|round| *round >= most)
        {
            return round;
        }
        unit = unit.saturating_mul(10);
    }
}

/// A number in a few letters: `500`, `20k`.
fn short(number: u64) -> String {
    match number {
        0..10_000 => thousands(number),
        10_000..1_000_000 => format!("{}k", number / 1000),
        _ => format!("{}M", thousands(number / 1_000_000)),
    }
}

fn numbers(tally: &Stats) -> String {
    format!("{} delivered, {} attempts failed", thousands(tally.delivered), thousands(tally.failed))
}

/// `11:00`, in UTC; with its day at midnight.
fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, time) = (text.get(5..10).unwrap_or_default(), text.get(11..16).unwrap_or_default());
    if time == "00:00" { format!("{day} {time}") } else { time.to_owned() }
}

/// The address of the deliveries that were made in this time: of one webhook, or of all.
fn made_within(webhook: Option<&str>, from: Timestamp, to: Timestamp) -> String {
    let minute = |at: Timestamp| at.to_string().get(..16).unwrap_or_default().to_owned();
    let asked = QueryString::new().with("webhook", webhook.unwrap_or_default());
    format!("/ui/deliveries?{}", asked.with("from", &minute(from)).with("to", &minute(to)).query())
}
