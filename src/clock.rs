//! The clocks. Only this file reads the time.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use crate::domain::timestamp::Timestamp;

/// A clock. There are two: the system's, and one that tests move by hand.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present time by the wall clock, which may jump.
    fn now(&self) -> Timestamp;

    /// The time since the machine started, suspended or not: it never jumps.
    fn uptime(&self) -> Duration;

    /// Ends when `wait` has passed since that moment. It may end earlier: the caller checks again.
    fn sleep(&self, since: Timestamp, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The wall clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp::from_millis(since.map_or_else(|before| -millis(before.duration()), millis))
    }

    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn sleep(&self, since: Timestamp, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(wait.saturating_sub(self.now().since(since))))
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that shows this moment.
    pub fn new(now: Timestamp) -> Self {
        Self(watch::Sender::new((now, Duration::ZERO)))
    }

    /// Lets time pass until this moment, and wakes all sleepers.
    pub fn set(&self, now: Timestamp) {
        self.0.send_modify(|(wall, uptime)| {
            *uptime += now.since(*wall);
            *wall = now;
        });
    }

    /// Sets the wall clock without letting time pass, like a correction by hand.
    pub fn step(&self, now: Timestamp) {
        self.0.send_modify(|(wall, _)| *wall = now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.borrow().0
    }

    fn uptime(&self) -> Duration {
        self.0.borrow().1
    }

    fn sleep(&self, since: Timestamp, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut moves = self.0.subscribe();
        Box::pin(async move {
            // Any move wakes. The sender lives as long as the clock, which this future borrows.
            let _ = moves.wait_for(|(now, _)| *now != since || wait.is_zero()).await;
        })
    }
}

/// Measures a duration, independent of the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The moment after this wait, for a timer that is reset again and again.
pub fn from_now(wait: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + wait
}

/// The processor time of this process.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits until the machine has been up for this long.
pub async fn until(clock: &SharedClock, uptime: Duration) {
    while let Some(left) = uptime.checked_sub(clock.uptime()).filter(|left| !left.is_zero()) {
        clock.sleep(clock.now(), left).await;
    }
}

/// Waits for this time, independent of the wall clock.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
