//! Alerts to the operator about the server itself.

use crate::domain::{
    alert::AlertKey, alert_words::AlertWords, ids::AlertId, json::quote, timestamp::Timestamp, zone::Zone,
};

/// What an alert to the operator is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The disk of the database is nearly full.
    Disk,
    /// There is no backup, or the last one is too old.
    Backup,
    /// The last backup is made, but event bodies in it are damaged, as in the database.
    Damaged,
    /// The server did not end as it should before this start.
    Crash,
    /// The clock was set.
    Clock,
    /// Everybody on the machine may read a file that holds a secret.
    Exposed,
    /// The database has reached the room that it may take, and the oldest delivered deliveries go sooner.
    Room,
    /// It takes more room than it may, and nothing more may go.
    Full,
    /// The server's own certificate ends soon, or could not be renewed.
    Certificate,
    /// The server has no certificate that clients take: it has expired, or there is none.
    Expired,
    /// The database was restored from a backup.
    Restored,
    /// What an earlier one told of is over.
    Over,
}

impl About {
    /// Everything that such an alert may be about.
    pub const ALL: [Self; 12] = [
        Self::Disk,
        Self::Backup,
        Self::Damaged,
        Self::Crash,
        Self::Clock,
        Self::Exposed,
        Self::Room,
        Self::Full,
        Self::Certificate,
        Self::Expired,
        Self::Restored,
        Self::Over,
    ];

    /// As it is stored and sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "server.disk_low",
            Self::Backup => "server.backup_old",
            Self::Damaged => "server.backup_damaged",
            Self::Crash => "server.restarted",
            Self::Clock => "server.clock_set",
            Self::Exposed => "server.file_exposed",
            Self::Room => "server.room_reached",
            Self::Full => "server.room_full",
            Self::Certificate => "server.certificate_old",
            Self::Expired => "server.certificate_expired",
            Self::Restored => "server.restored",
            Self::Over => "server.recovered",
        }
    }

    /// In a few words, for a subject.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Disk => "the disk is nearly full",
            Self::Backup => "there is no fresh backup",
            Self::Damaged => "the last backup is not whole",
            Self::Crash => "the server came back after a crash",
            Self::Clock => "the clock was set",
            Self::Exposed => "everybody may read a secret file",
            Self::Room => "the database has reached its largest size",
            Self::Full => "the database is larger than it may be",
            Self::Certificate => "there is no fresh certificate",
            Self::Expired => "no client can connect: the certificate is not valid",
            Self::Restored => "the database was restored from a backup",
            Self::Over => "a problem of the server is over",
        }
    }

    /// The next step of a person.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Disk => {
                "Free some space, or give the database a larger disk: on a full disk nothing is accepted any more."
            }
            Self::Backup => "Make a backup: press the button on the System page, or run 'ngoma backup FILE'.",
            Self::Damaged => {
                "Publish those events again under another key, and look at the disk: it may be about to fail. The newest \
                 backup that is whole stays."
            }
            Self::Crash => {
                "Look at the log of the time before: 'journalctl -u ngoma'. What was accepted is kept, and deliveries \
                 that were under way are sent again."
            }
            Self::Clock => {
                "See that the time of the machine is right, and that a time service keeps it: 'timedatectl'. Waits are \
                 kept; signatures carry the time of the machine."
            }
            Self::Exposed => "Run that command, and change the secret if others use this machine.",
            Self::Room => {
                "The oldest delivered ones are removed to make room. Give it more room by retention.max_database_bytes, \
                 or keep deliveries for a shorter time."
            }
            Self::Full => {
                "Raise the limit, or repair or delete the webhooks that do not take theirs: until then the database grows."
            }
            Self::Certificate | Self::Expired => {
                "The server tries again by itself. If tls.certificate names files of your own, put new ones in their \
                 places: they are read within a minute. When it has expired, no client can connect."
            }
            Self::Restored => {
                "Let the platforms publish again what they sent since that moment: an event with an idempotency key is \
                 taken once. Deliveries that waited at that moment go out, also those that have arrived since."
            }
            Self::Over => "Nothing is left to do.",
        }
    }
}

/// An alert to the operator.
#[derive(Debug, Clone)]
pub struct OperatorAlert {
    /// The key of its row.
    pub key: AlertKey,
    /// The public id, the same by every channel and at every try.
    pub id: AlertId,
    /// Its subject.
    pub about: About,
    /// What happened, in a sentence or two.
    pub said: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Since when all is well again; `None`: not yet, or nobody looks.
    pub cleared_at: Option<Timestamp>,
}

impl OperatorAlert {
    /// Its words for people and programs; `base` is the address of the server, without a slash at its
    /// end.
    pub fn words(&self, base: &str, zone: &Zone) -> AlertWords {
        let Self { id, about, said, created_at, .. } = self;
        let page = format!("{base}/ui/system");
        let (title, remedy) = (about.title(), about.remedy());
        let data = format!(
            r#"{{"alert_id":"{id}","title":{},"text":{},"remedy":{},"page":{}}}"#,
            quote(title),
            quote(said),
            quote(remedy),
            quote(&page)
        );
        AlertWords {
            id: *id,
            created_at: *created_at,
            kind: about.name(),
            subject: format!("[Ngoma] {title}"),
            said: format!("{said}\n{remedy}"),
            mail: format!(
                "{page}\n\n{said}\n\n{remedy}\n\n{}: Ngoma sent this by itself, as {id}.\n",
                zone.show(*created_at)
            ),
            json: format!(r#"{{"type":"{}","timestamp":"{created_at}","data":{data}}}"#, about.name()),
            page,
            good: *about == About::Over,
        }
    }
}
