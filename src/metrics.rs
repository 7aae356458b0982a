//! Metrics of the server, for `/metrics`.
//!
//! Every label has a handful of values: a profile, a state, a class; never an account, a webhook or a URL. Events are
//! counted in memory as they happen. Gauges are read from the database now and then, and set here.

mod gauges;
mod text_format;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use self::gauges::{GaugeValues, LOG_LINES_DROPPED};
use self::gauges::{Gauges, Labels, set};
use crate::{
    domain::{certificate::Life, timestamp::Timestamp},
    error::Error,
};

/// Classes of HTTP statuses.
pub const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The format in which the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Format {
    /// The content type of this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => text_format::CONTENT_TYPE,
        }
    }
}

/// Bucket bounds for the server's own work, in seconds.
const QUICK: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bucket bounds for the answers of receivers; an attempt ends after `delivery.timeout`, 10 s by default.
const RECEIVERS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Bucket bounds for the waits of deliveries.
const WAITS: [f64; 13] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0];
/// Bucket bounds for the writes in a commit.
const GROUPS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The metrics of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    publish: Histograms<1>,
    accepted: Family<Labels<1>, Counter>,
    attempts: Family<Labels<2>, Counter>,
    attempt: Histograms<1>,
    wait: Histograms<1>,
    in_flight: Gauge,
    accounts_near_limit: Gauge,
    commit: Histogram,
    group: Histogram,
    clock_jumps: Counter,
    removed_early: Counter,
    last_clock_jump: Mutex<Option<ClockJump>>,
    written: Mutex<Written>,
    paused: Mutex<Option<Fault>>,
    profiles: Mutex<Vec<&'static str>>,
    gauges: Gauges,
}

/// A jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockJump {
    /// By how many milliseconds it was set forward, or back.
    pub by: i64,
    /// When the jump was noticed, as the machine's uptime.
    pub at: Duration,
}

/// A fault of the server or of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it happened, as the machine's uptime.
    pub at: Duration,
    /// What failed.
    pub why: Error,
}

/// How the writer's last transactions ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// When the last transaction that changed something was committed, as the machine's uptime.
    pub last: Option<Duration>,
    /// The last fault, also if only one write of many failed.
    pub fault: Option<Fault>,
}

fn histograms<const N: usize>(make: fn() -> Histogram) -> Histograms<N> {
    Family::new_with_constructor(make)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            publish: histograms(|| Histogram::new(QUICK)),
            accepted: Family::default(),
            attempts: Family::default(),
            attempt: histograms(|| Histogram::new(RECEIVERS)),
            wait: histograms(|| Histogram::new(WAITS)),
            in_flight: Gauge::default(),
            accounts_near_limit: Gauge::default(),
            commit: Histogram::new(QUICK),
            group: Histogram::new(GROUPS),
            clock_jumps: Counter::default(),
            removed_early: Counter::default(),
            last_clock_jump: Mutex::default(),
            written: Mutex::default(),
            paused: Mutex::default(),
            profiles: Mutex::default(),
            gauges: Gauges::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let all = &mut self.registry;
        all.register("ngoma_build", "The version that runs", version);
        all.register(
            "ngoma_requests",
            "Requests answered, by what they were for and class of status",
            self.requests.clone(),
        );
        let help = "From a publish, one event or a batch, to its 202";
        all.register_with_unit("ngoma_publish", help, Unit::Seconds, self.publish.clone());
        let help = "Events answered with 202, repeats by their key included";
        all.register("ngoma_events_accepted", help, self.accepted.clone());
        all.register("ngoma_attempts", "Attempts that have ended, without tests, by outcome", self.attempts.clone());
        let help = "From the look-up of the name to the last byte of the answer";
        all.register_with_unit("ngoma_attempt", help, Unit::Seconds, self.attempt.clone());
        let help = "From the making of a delivery to the start of its first attempt, time held included";
        all.register_with_unit("ngoma_queue_wait", help, Unit::Seconds, self.wait.clone());
        all.register("ngoma_attempts_in_flight", "Attempts under way", self.in_flight.clone());
        all.register(
            "ngoma_accounts_near_limit",
            "Accounts that have used 80 % of a share: of waiting deliveries or of stored bytes, as of their last publish",
            self.accounts_near_limit.clone(),
        );
        let help = "One transaction of the writer, its sync included";
        all.register_with_unit("ngoma_commit", help, Unit::Seconds, self.commit.clone());
        all.register("ngoma_commit_writes", "Writes that shared a transaction", self.group.clone());
        all.register("ngoma_clock_steps", "How often the wall clock was set", self.clock_jumps.clone());
        let help = "Deliveries and events removed before their time: retention.max_database_bytes was reached";
        all.register("ngoma_removed_early", help, self.removed_early.clone());
        self.gauges.register(all);
    }

    /// Creates the series of a profile before its first event.
    pub fn show_profile(&self, profile: &'static str, outcomes: impl IntoIterator<Item = &'static str>) {
        drop(self.accepted.get_or_create(&[("profile", profile)]));
        drop(self.attempt.get_or_create(&[("profile", profile)]));
        drop(self.wait.get_or_create(&[("profile", profile)]));
        lock(&self.profiles).push(profile);
        self.gauges.show_webhooks(profile, [0; 3]);
        for outcome in outcomes {
            drop(self.attempts.get_or_create(&[("profile", profile), ("outcome", outcome)]));
        }
    }

    /// Creates the series of requests and publishes before the first one.
    pub fn show_requests(&self, what: &[&'static str], forms: &[&'static str]) {
        for what in what {
            for class in CLASSES {
                drop(self.requests.get_or_create(&[("what", *what), ("class", class)]));
            }
        }
        for form in forms {
            drop(self.publish.get_or_create(&[("form", *form)]));
        }
    }

    /// A request was answered.
    pub fn answered(&self, what: &'static str, class: &'static str) {
        self.requests.get_or_create(&[("what", what), ("class", class)]).inc();
    }

    /// A publish of this form was answered with 202, after this time.
    pub fn published(&self, form: &'static str, took: Duration) {
        self.publish.get_or_create(&[("form", form)]).observe(took.as_secs_f64());
    }

    /// This many events of a profile were accepted.
    pub fn accepted(&self, profile: &'static str, events: usize) {
        self.accepted.get_or_create(&[("profile", profile)]).inc_by(events as u64);
    }

    /// An attempt has ended. `waited` is how long its delivery waited for it, if it was the first.
    pub fn attempted(&self, profile: &'static str, outcome: &'static str, took: Duration, waited: Option<Duration>) {
        self.attempts.get_or_create(&[("profile", profile), ("outcome", outcome)]).inc();
        self.attempt.get_or_create(&[("profile", profile)]).observe(took.as_secs_f64());
        if let Some(waited) = waited {
            self.wait.get_or_create(&[("profile", profile)]).observe(waited.as_secs_f64());
        }
    }

    /// An attempt was cut off: its duration is unknown.
    pub fn cut_off(&self, profile: &'static str, outcome: &'static str) {
        self.attempts.get_or_create(&[("profile", profile), ("outcome", outcome)]).inc();
    }

    /// Sets the number of attempts under way.
    pub fn set_in_flight(&self, attempts: usize) {
        set(&self.in_flight, attempts as u64);
    }

    /// This many writes were committed together.
    pub fn committed(&self, writes: usize, took: Duration) {
        self.commit.observe(took.as_secs_f64());
        self.group.observe(writes as f64);
    }

    /// Sets the number of accounts that have used 80 % of their share or more.
    pub fn set_accounts_near_limit(&self, accounts: usize) {
        set(&self.accounts_near_limit, accounts as u64);
    }

    /// The wall clock was set.
    pub fn clock_jumped(&self, jump: ClockJump) {
        self.clock_jumps.inc();
        *lock(&self.last_clock_jump) = Some(jump);
    }

    /// The last jump of the wall clock since this server started.
    pub fn last_clock_jump(&self) -> Option<ClockJump> {
        *lock(&self.last_clock_jump)
    }

    /// A transaction that changed something was committed, at this uptime.
    pub fn wrote(&self, at: Duration) {
        lock(&self.written).last = Some(at);
    }

    /// A write failed, and not by a fault of its own.
    pub fn write_failed(&self, fault: Fault) {
        lock(&self.written).fault = Some(fault);
    }

    /// How the writer's last transactions ended.
    pub fn written(&self) -> Written {
        lock(&self.written).clone()
    }

    /// The engine's last transaction failed with this fault, or did not. Of several faults in a row, the time of the
    /// first is kept.
    pub fn turned(&self, fault: Option<Fault>) {
        let mut paused = lock(&self.paused);
        let since = paused.as_ref().map(|first| first.at);
        *paused = fault.map(|fault| Fault { at: since.unwrap_or(fault.at), ..fault });
    }

    /// Since when and why deliveries pause; `None` while they go out.
    pub fn paused(&self) -> Option<Fault> {
        lock(&self.paused).clone()
    }

    /// Sets the gauges. `None`: the database could not be read, and the gauges stay as they were.
    pub fn show(&self, found: Option<&GaugeValues>) {
        self.gauges.show(found, &lock(&self.profiles));
    }

    /// Sets the moment at which the server started.
    pub fn set_started(&self, at: Timestamp) {
        self.gauges.set_started(at);
    }

    /// Sets the age and the size in bytes of the newest backup.
    pub fn set_backup(&self, newest: Option<(Duration, u64)>) {
        self.gauges.set_backup(newest);
    }

    /// Sets the limit of the database in bytes, if there is one.
    pub fn set_room(&self, limit: Option<u64>) {
        self.gauges.set_room(limit);
    }

    /// Sets the time in which the server's own certificate holds, if it has one.
    pub fn set_certificate(&self, life: Option<Life>) {
        self.gauges.set_certificate(life);
    }

    /// This many deliveries and events were removed before their time, to make room.
    pub fn removed_early(&self, rows: usize) {
        self.removed_early.inc_by(rows as u64);
    }

    /// All metrics in this format, with the process's present use of the machine.
    pub fn text(&self, format: Format) -> String {
        self.gauges.look_at_process();
        let mut text = String::new();
        // It fails only if the writer fails.
        let _ = encode(&mut text, &self.registry);
        match format {
            Format::OpenMetrics => text,
            Format::Text => text_format::of(&text),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
