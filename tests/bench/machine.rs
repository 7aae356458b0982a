//! The machine of a run, and how much of it other programs took meanwhile: figures beside a busy program mean little.

use std::{fs, process::Command, time::Instant};

use ngoma::clock::{Clock, SystemClock};

/// Date, commit and machine, for the head of a table.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let git = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let models = processors.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let models: Vec<&str> = models.map(|(_, model)| model).collect();
    let mounts = read("/proc/mounts");
    let disk = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        })
        .filter(|(_, place, _)| env!("CARGO_TARGET_TMPDIR").starts_with(place))
        .max_by_key(|(_, place, _)| place.len());
    format!(
        "{}, commit {commit}; {} cores, {}; Linux {}; files on {}",
        SystemClock.now(),
        models.len(),
        models.first().unwrap_or(&"?"),
        read("/proc/sys/kernel/osrelease").trim(),
        disk.map_or_else(|| "?".to_owned(), |(device, _, kind)| format!("{device} ({kind})")),
    )
}

/// Watches the processors from here on.
pub struct Watch {
    since: Instant,
    all: u64,
    busy: u64,
    own: u64,
}

impl Watch {
    pub fn start() -> Self {
        let (all, busy) = machine();
        Self { since: Instant::now(), all, busy, own: own() }
    }

    /// The result, as a sentence. Its own work is that of this process and of its ended children.
    pub fn end(&self) -> String {
        let (all, busy) = machine();
        let others = (busy - self.busy).saturating_sub(own() - self.own);
        let share = 100.0 * others as f64 / (all - self.all).max(1) as f64;
        format!(
            "({:.0} s, during which others took {share:.0} % of the processors.)",
            self.since.elapsed().as_secs_f64()
        )
    }
}

/// The time of all processors since the start of the machine, and how much of it they worked, in ticks.
fn machine() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").expect("Linux says so");
    let ticks = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = ticks.filter_map(|word| word.parse().ok()).take(8).collect();
    let all = ticks.iter().sum::<u64>();
    // The fourth is idle, the fifth waits for the disk.
    (all, all - ticks[3] - ticks[4])
}

/// The processor time of this process and its ended children, in ticks.
fn own() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux says so");
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').skip(11).take(4).filter_map(|word| word.parse::<u64>().ok()).sum()
}
