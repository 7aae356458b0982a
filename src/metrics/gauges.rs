//! Gauges: values that are read now and then, and shown until the next reading.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    clock,
    domain::{certificate::Life, timestamp::Timestamp},
};

/// Log lines of this process that could not be written, or waited behind too many others.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Labels whose values are fixed words of the program.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];
type Seconds = Gauge<f64, AtomicU64>;

/// Gauges refreshed from the database.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    deliveries: Family<Labels<1>, Gauge>,
    oldest_due: Seconds,
    webhooks: Family<[(&'static str, String); 2], Gauge>,
    alerts_unsent: Gauge,
    writer_waiting: Gauge,
    database: Gauge,
    used: Gauge,
    log: Gauge,
    disk_free: Family<Labels<0>, Gauge>,
    backup_age: Family<Labels<0>, Gauge>,
    backup: Family<Labels<0>, Gauge>,
    room: Family<Labels<0>, Gauge>,
    certificate_ends: Family<Labels<0>, Gauge>,
    certificate_began: Family<Labels<0>, Gauge>,
    started: Seconds,
    refresh_failed: Gauge,
    log_lines_dropped: Counter,
    processor: Counter<f64, AtomicU64>,
    memory: Gauge,
    descriptors: Gauge,
}

/// The values of the gauges, as read from the database and its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GaugeValues {
    /// Deliveries that are neither delivered nor cancelled, by state; of the failed ones, those that are missed.
    pub deliveries: Vec<(&'static str, u64)>,
    /// How long the longest due delivery has been due.
    pub oldest_due: Duration,
    /// For each profile the number of active endpoints, of suspended ones, and of those that a person has paused.
    pub webhooks: Vec<(String, [u64; 3])>,
    /// Undelivered alerts.
    pub alerts_unsent: u64,
    /// Writes that wait for the writer.
    pub writer_waiting: usize,
    /// Bytes of the database file.
    pub database: u64,
    /// Bytes of its pages in use.
    pub used: u64,
    /// Bytes of its write-ahead log.
    pub log: u64,
    /// Free bytes on its disk; `None` if the system does not say.
    pub disk_free: Option<u64>,
}

impl Gauges {
    /// Names them.
    pub(super) fn register(&self, all: &mut Registry) {
        let help = "Deliveries that are not delivered or cancelled, by state; of the failed ones, those that no replay has delivered";
        all.register("ngoma_deliveries", help, self.deliveries.clone());
        let help = "How long the delivery that is due longest has been due; 0 if none is";
        all.register_with_unit("ngoma_oldest_due", help, Unit::Seconds, self.oldest_due.clone());
        all.register("ngoma_webhooks", "Webhooks that are not deleted, by state", self.webhooks.clone());
        all.register("ngoma_alerts_unsent", "Alerts that are not sent yet", self.alerts_unsent.clone());
        all.register("ngoma_writer_waiting", "Writes that wait for the writer", self.writer_waiting.clone());
        all.register_with_unit("ngoma_database", "The database file", Unit::Bytes, self.database.clone());
        let help = "Its pages in use: retention.max_database_bytes limits them";
        all.register_with_unit("ngoma_database_used", help, Unit::Bytes, self.used.clone());
        all.register_with_unit("ngoma_wal", "Its write-ahead log", Unit::Bytes, self.log.clone());
        all.register_with_unit("ngoma_disk_free", "Free on its disk", Unit::Bytes, self.disk_free.clone());
        let help = "Age of the newest backup in the server's folder of backups; missing while there is none";
        all.register_with_unit("ngoma_backup_age", help, Unit::Seconds, self.backup_age.clone());
        let help = "Size of the newest backup in that folder; missing while there is none";
        all.register_with_unit("ngoma_backup", help, Unit::Bytes, self.backup.clone());
        let help = "The bytes in use at which the oldest delivered deliveries go early: retention.max_database_bytes; missing without a limit";
        all.register_with_unit("ngoma_database_limit", help, Unit::Bytes, self.room.clone());
        let help = "When the server's own certificate ends, as seconds since 1970; missing while it has none";
        let name = "ngoma_certificate_expiration_timestamp";
        all.register_with_unit(name, help, Unit::Seconds, self.certificate_ends.clone());
        let help = "From when on that certificate holds, as seconds since 1970; missing while it has none";
        let name = "ngoma_certificate_not_before_timestamp";
        all.register_with_unit(name, help, Unit::Seconds, self.certificate_began.clone());
        let help = "1 while the database cannot be read: the metrics of the database are old";
        all.register("ngoma_survey_failed", help, self.refresh_failed.clone());
        let help = "Lines of the log that were dropped: nothing read them in time";
        all.register("ngoma_log_lines_dropped", help, self.log_lines_dropped.clone());
        let help = "When the server started, as seconds since 1970";
        all.register_with_unit("process_start_time", help, Unit::Seconds, self.started.clone());
        let help = "Processor time of the process";
        all.register_with_unit("process_cpu", help, Unit::Seconds, self.processor.clone());
        all.register_with_unit("process_resident_memory", "Memory of the process", Unit::Bytes, self.memory.clone());
        all.register("process_open_fds", "File descriptors of the process", self.descriptors.clone());
    }

    /// Sets the numbers of webhooks of a profile.
    pub(super) fn show_webhooks(&self, profile: &str, counts: [u64; 3]) {
        for (state, count) in ["active", "suspended", "paused"].into_iter().zip(counts) {
            let labels = [("profile", profile.to_owned()), ("state", state.to_owned())];
            set(&self.webhooks.get_or_create(&labels), count);
        }
    }

    /// Sets the gauges. `None`: the database could not be read, and the gauges stay as they were.
    pub(super) fn show(&self, found: Option<&GaugeValues>, profiles: &[&str]) {
        set(&self.refresh_failed, u64::from(found.is_none()));
        let Some(found) = found else { return };
        for (state, count) in &found.deliveries {
            set(&self.deliveries.get_or_create(&[("state", *state)]), *count);
        }
        self.oldest_due.set(found.oldest_due.as_secs_f64());
        for (profile, counts) in &found.webhooks {
            self.show_webhooks(profile, *counts);
        }
        // A profile whose last account was erased is not in the database.
        for profile in profiles {
            if found.webhooks.iter().all(|(found, ..)| found != profile) {
                self.show_webhooks(profile, [0; 3]);
            }
        }
        set(&self.alerts_unsent, found.alerts_unsent);
        set(&self.writer_waiting, found.writer_waiting as u64);
        set(&self.database, found.database);
        set(&self.used, found.used);
        set(&self.log, found.log);
        match found.disk_free {
            Some(free) => set(&self.disk_free.get_or_create(&[]), free),
            None => self.disk_free.clear(),
        }
    }

    /// Sets the moment at which the server started.
    pub(super) fn set_started(&self, at: Timestamp) {
        self.started.set(at.millis() as f64 / 1000.0);
    }

    /// Sets the age and the size in bytes of the newest backup.
    pub(super) fn set_backup(&self, newest: Option<(Duration, u64)>) {
        match newest {
            Some((age, bytes)) => {
                set(&self.backup_age.get_or_create(&[]), age.as_secs());
                set(&self.backup.get_or_create(&[]), bytes);
            }
            None => {
                self.backup_age.clear();
                self.backup.clear();
            }
        }
    }

    pub(super) fn set_room(&self, limit: Option<u64>) {
        match limit {
            Some(limit) => set(&self.room.get_or_create(&[]), limit),
            None => self.room.clear(),
        }
    }

    pub(super) fn set_certificate(&self, life: Option<Life>) {
        match life {
            Some(Life { from, until }) => {
                self.certificate_began.get_or_create(&[]).set(from.unix_seconds());
                self.certificate_ends.get_or_create(&[]).set(until.unix_seconds());
            }
            None => {
                self.certificate_began.clear();
                self.certificate_ends.clear();
            }
        }
    }

    /// Reads the process's present use of the machine. Where there is no /proc, memory and descriptors stay 0.
    pub(super) fn look_at_process(&self) {
        self.processor.inner().store(clock::processor_time().as_secs_f64().to_bits(), Ordering::Relaxed);
        self.log_lines_dropped.inner().store(LOG_LINES_DROPPED.load(Ordering::Relaxed), Ordering::Relaxed);
        set(&self.memory, resident_memory().unwrap_or_default());
        set(&self.descriptors, fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64));
    }
}

pub(super) fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Memory of this process, in bytes.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
