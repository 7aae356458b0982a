//! Sends notices to the accounts that have a place for them, oldest first. A place that does not answer gets nothing more
//! until its next try, so it costs the others one time-out.

use std::time::Duration;

use tokio::sync::watch;

use super::poster::{Poster, unless_stopped};
use crate::{
    clock::SharedClock,
    domain::{alert::Undelivered, audit::Actor, profile::Profiles, timestamp::Timestamp},
    error::Result,
    store::{
        Admission, Db,
        notices::{self, Due},
    },
};

/// The longest time between two looks: the clock may be set, and other processes may write.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The wait after a fault of the database.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

pub(super) struct Notices<'a> {
    pub(super) db: &'a Db,
    pub(super) clock: &'a SharedClock,
    pub(super) profiles: &'a Profiles,
    pub(super) poster: &'a Poster,
}

impl Notices<'_> {
    /// Sends notices until `stop` turns true.
    pub(super) async fn serve(self, mut written: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            written.borrow_and_update();
            let at = self.clock.now();
            let next = self.send_due(&stop).await.unwrap_or_else(|error| {
                tracing::error!(%error, "notices wait until the database can be used");
                Some(at + AFTER_A_FAULT)
            });
            let wait = next.map_or(LOOK_AGAIN, |next| next.since(at).min(LOOK_AGAIN));
            tokio::select! {
                _ = written.changed() => {}
                _ = stop.changed() => {}
                () = self.clock.sleep(at, wait) => {}
            }
        }
    }

    /// Sends all due notices; returns when the next one is due.
    async fn send_due(&self, stop: &watch::Receiver<bool>) -> Result<Option<Timestamp>> {
        loop {
            match self.db.read(notices::next).await? {
                Some(due) if due.at <= self.clock.now() && !*stop.borrow() => self.send(due, stop).await?,
                next => return Ok(next.map(|due| due.at)),
            }
        }
    }

    async fn send(&self, due: Due, stop: &watch::Receiver<bool>) -> Result<()> {
        let Due { which, tries, notice, url, secret, .. } = due;
        let sent = match (self.profiles.get(&notice.profile), &secret) {
            (None, _) => Err(Undelivered::Never("its platform is not served any more".to_owned())),
            (_, None) => Err(Undelivered::Refused("the key file does not open its secret".to_owned())),
            (Some(profile), Some(secret)) => {
                let at = (notice.id, self.clock.now());
                unless_stopped(self.poster.post_signed(at, &url, secret, notice.json(profile)), stop).await
            }
        };
        let now = self.clock.now();
        let again = sent.as_ref().err().and_then(|why| match why {
            // Whatever the reason, a week later nobody waits for it.
            Undelivered::Later(words) => Undelivered::Refused(words.clone()).again(tries + 1, notice.created_at, now),
            why => why.again(tries + 1, notice.created_at, now),
        });
        if let Err(why) = &sent {
            let (notice, account, reason) = (notice.id, notice.account, why.words());
            match again {
                Some(again) => tracing::warn!(%notice, account, reason, again = %again, "a notice waits"),
                None => tracing::error!(%notice, account, reason, "a notice is given up"),
            }
        }
        let note = self.db.write(Actor::Engine, Admission::Wait, move |tx| match again {
            Some(again) => notices::postpone(tx, which, again),
            None => notices::ended(tx, which),
        });
        note.await
    }
}
