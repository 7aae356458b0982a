//! The certificate that the server itself shows: how long it holds, how its renewal goes, and what a person has to know
//! of it. A pure value: who keeps the certificate fresh writes it, who watches the server reads it.

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// An end that is nearer is soon.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// For a certificate of a short life, the end is soon when one part in this many is left: half of the time that an
/// authority's renewal has.
const LAST_PART: u32 = 6;

/// The time in which a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Life {
    /// From when on an authority is asked for the next certificate: two thirds are over.
    pub fn two_thirds(self) -> Timestamp {
        self.from + self.until.since(self.from) * 2 / 3
    }

    /// Whether it ends soon.
    fn ends_soon(self, now: Timestamp) -> bool {
        self.until.since(now) < SOON.min(self.until.since(self.from) / LAST_PART)
    }
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From an authority: the server renews it by itself.
    Authority,
    /// From files that the operator replaces.
    Files,
}

/// The certificate that clients get to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// Its names, or its file, in words.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The time in which it holds; `None`: there is none yet.
    pub life: Option<Life>,
    /// Why the last try to replace it failed: a sentence for the operator; `None`: it did not fail.
    pub failed: Option<String>,
}

/// How fresh a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// All is well.
    Fresh,
    /// It holds, but a person should look.
    Stale,
    /// No client can connect: it has expired, holds later only, or there is none.
    Unusable,
}

impl ServedCertificate {
    /// How fresh it is.
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        match self.life {
            Some(life) if life.until <= now || life.from > now => Freshness::Unusable,
            Some(life) if self.failed.is_some() || life.ends_soon(now) => Freshness::Stale,
            Some(_) => Freshness::Fresh,
            None => Freshness::Unusable,
        }
    }

    /// From when on it is renewed; `None` if the server does not do that by itself, or there is nothing to renew.
    pub fn renewed_from(&self) -> Option<Timestamp> {
        self.life.filter(|_| self.origin == Origin::Authority).map(Life::two_thirds)
    }

    /// Its state in a clause for everybody: it begins with a small letter and has no point.
    pub fn said(&self, now: Timestamp) -> String {
        let Some(Life { from, until }) = self.life else {
            return "there is no certificate yet, and no client can connect".to_owned();
        };
        match (self.freshness(now), &self.failed, self.origin) {
            (Freshness::Unusable, ..) if from > now => {
                format!(
                    "the certificate holds from {from} on, and until then clients refuse it: is the clock of this machine right?"
                )
            }
            (Freshness::Unusable, ..) => format!("the certificate has expired, at {until}, and clients refuse it"),
            (_, Some(_), Origin::Authority) => format!("the certificate could not be renewed; it ends at {until}"),
            (_, Some(_), Origin::Files) => {
                format!("the files of the next certificate cannot be used; the present one ends at {until}")
            }
            (Freshness::Stale, None, _) => format!("the certificate ends soon, at {until}"),
            (Freshness::Fresh, None, _) => format!("the certificate holds until {until}"),
        }
    }

    /// What the operator is told, if anything: the state, and why.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let is_first_try = self.life.is_none() && self.failed.is_none();
        if is_first_try || self.freshness(now) == Freshness::Fresh {
            return None;
        }
        let why = self.failed.as_ref().map_or_else(String::new, |why| format!(" {why}"));
        Some(format!("{}: {}.{why}", self.name, self.said(now)))
    }

    /// Whether nothing is to be done, and no try is due that may fail.
    pub fn is_well(&self, now: Timestamp) -> bool {
        self.freshness(now) == Freshness::Fresh && self.renewed_from().is_none_or(|due| now < due)
    }
}
