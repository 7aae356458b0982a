//! The heartbeat: a GET now and then while the server is ready, for a service that tells a person when it stays away.

use std::time::Duration;

use tokio::sync::watch;

use super::App;
use crate::{clock::until, domain::alert::Undelivered};

/// After a beat that was not taken, and while the server is not ready, the next one comes sooner.
const SOON: Duration = Duration::from_secs(60);

impl App {
    /// Sends the heartbeat until `stop` turns true, if there is a place for it. The first is sent at once.
    pub async fn beat(&self, mut stop: watch::Receiver<bool>) {
        let every = self.0.config.alerts.heartbeat_every;
        if !self.0.engine.alerts().has_heartbeat() {
            // A part of the server that ends stops the server.
            drop(stop.wait_for(|stop| *stop).await);
            return;
        }
        while !*stop.borrow_and_update() {
            let beat = async { self.is_ready().await && self.beat_once().await };
            let taken = tokio::select! {
                taken = beat => taken,
                // One that hangs keeps no stop waiting.
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let wait = if taken { every } else { every.min(SOON) };
            // The clock may be set meanwhile: that makes no beat late.
            let next = self.0.clock.uptime() + wait;
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { return },
                () = until(&self.0.clock, next) => {}
            }
        }
    }

    /// Sends one; returns whether it was taken.
    async fn beat_once(&self) -> bool {
        let sent = self.0.engine.alerts().beat().await;
        if let Err(why) = &sent {
            tracing::warn!(
                reason = Undelivered::words(why),
                "the heartbeat was not taken; it is tried again in a minute"
            );
        }
        sent.is_ok()
    }
}
