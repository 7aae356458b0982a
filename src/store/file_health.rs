//! Whether a server can go on with its files: checked once a second, and whenever somebody asks.

use std::{mem, sync::Arc, time::Duration};

use super::Db;
use crate::{clock, error::Error};

/// The time between two checks.
const PAUSE: Duration = Duration::from_secs(1);

impl Db {
    /// Returns the reason when the file can no longer be trusted: the disk failed, or a file of the database is not in
    /// its place.
    pub async fn broken(&self) -> String {
        let mut broken = self.0.broken.clone();
        let mut key_is_good = true;
        loop {
            tokio::select! {
                reason = broken.wait_for(Option::is_some) => return match reason {
                    Ok(reason) => reason.clone().unwrap_or_default(),
                    Err(_) => "the writer has ended".to_owned(),
                },
                () = clock::pause(PAUSE) => {}
            }
            if let Some(lost) = self.lost() {
                return lost;
            }
            let fault = self.key_fault().await;
            let was_good = mem::replace(&mut key_is_good, fault.is_none());
            match fault {
                Some(fault) if was_good => {
                    tracing::error!(error = %fault, "deliveries go on, but no signing secret can be stored, and a restart would fail");
                }
                None if !was_good => tracing::info!("the key file is in its place again"),
                _ => {}
            }
        }
    }

    /// Why the file can no longer be trusted, if so. Cheap: a few file checks.
    pub fn lost(&self) -> Option<String> {
        let broken = self.0.broken.borrow().clone();
        let files = self.0.files.as_ref();
        broken.or_else(|| self.read_inline(|view| Ok(files.and_then(|files| files.lost(view.conn)))).ok().flatten())
    }

    /// Why the key file can no longer be used, if so: a start would refuse it. Cheap while the file stays the same.
    pub async fn key_fault(&self) -> Option<Error> {
        if self.0.keys.is_current() {
            return None;
        }
        let inner = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || {
            // All reading connections are busy: the next check decides.
            let conn = inner.readers.get().ok()?;
            inner.keys.refresh(&conn).err()
        });
        looked.await.ok()?
    }
}
