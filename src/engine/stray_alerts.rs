//! Alerts that wait for a channel that is not set up: somebody renamed it, removed it, or turned mail off. A start says so.
//! They go when the channel is back, and are given up when they are as old as those that a channel refuses.

use std::time::Duration;

use tokio::sync::watch;

use super::alert_log;
use crate::{
    clock::SharedClock,
    domain::audit::Actor,
    error::Result,
    store::{
        Admission, Db, Tx,
        channels::{ChannelNames, give_up_strays, strays},
    },
};

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Looks after them.
pub(super) struct StrayAlerts<'a> {
    pub(super) db: &'a Db,
    pub(super) clock: &'a SharedClock,
    pub(super) set_up: ChannelNames,
}

impl StrayAlerts<'_> {
    /// Looks until `stop` turns true.
    pub(super) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let mut first = true;
        while !*stop.borrow_and_update() {
            let at = self.clock.now();
            if let Err(error) = self.look(first).await {
                tracing::error!(%error, "alerts for channels that are not set up wait until the database takes writes");
            }
            first = false;
            tokio::select! {
                _ = stop.changed() => {}
                () = self.clock.sleep(at, LOOK_AGAIN) => {}
            }
        }
    }

    async fn look(&self, first: bool) -> Result<()> {
        let names = self.set_up.clone();
        if self.db.read(move |view| strays(view, &names)).await?.is_empty() {
            return Ok(());
        }
        let names = self.set_up.clone();
        let look = move |tx: &Tx<'_>| Ok((give_up_strays(tx, &names)?, strays(tx, &names)?));
        let (gone, waiting) = self.db.write(Actor::Engine, Admission::Wait, look).await?;
        gone.iter().for_each(alert_log::strays_given_up);
        if first {
            waiting.iter().for_each(alert_log::strays_wait);
        }
        Ok(())
    }
}
