//! Deliveries as people list them: with the key of their payload; exported; and replayed together.

use super::{Access, App, Looked, Page, PageRequest, Webhooks, id};
use crate::{
    domain::{ids::DeliveryId, own_key::OwnKey, token::Visible},
    error::{Error, Missing, Result},
    store::{Tx, View, deliveries, replays, search::Listed},
};

/// Most deliveries of an export.
pub const EXPORTED: usize = 10_000;
/// Deliveries that an export reads at once.
const READ_AT_ONCE: usize = 1000;
/// Most reads of an export. Each passes at most 10,000 deliveries.
const READS: usize = 100;
/// Most deliveries that are replayed together.
const TOGETHER: usize = 100;

/// A delivery in a list for people.
pub struct DeliveryEntry {
    /// The delivery, with its account.
    pub listed: Listed,
    /// The key of its payload.
    pub own_key: Option<OwnKey>,
}

impl DeliveryEntry {
    fn read(view: &View<'_>, listed: Listed) -> Self {
        Self { own_key: deliveries::own_key(view, listed.delivery.event), listed }
    }
}

/// The deliveries that match, newest first.
pub struct Export {
    /// At most [`EXPORTED`] deliveries.
    pub entries: Vec<DeliveryEntry>,
    /// Whether they are all.
    pub complete: bool,
}

/// The result of replaying several deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayedTogether {
    /// Deliveries that were replayed.
    pub replayed: u64,
    /// Deliveries whose webhook is suspended or deleted.
    pub skipped: u64,
}

impl App {
    /// As [`App::deliveries`], for people.
    ///
    /// # Errors
    /// As [`App::deliveries`].
    pub async fn delivery_entries(
        &self,
        access: &Access<Webhooks>,
        looked: Looked,
        page: PageRequest,
    ) -> Result<Page<DeliveryEntry>> {
        self.each_delivery(access, looked, page, DeliveryEntry::read).await
    }

    /// The newest deliveries that match: at most [`EXPORTED`], among the newest million that may match.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text to look for: an export looks through no payloads.
    pub async fn export(&self, access: &Access<Webhooks>, Looked { wanted, text }: Looked) -> Result<Export> {
        if text.is_some() {
            return Err(Error::request("an export looks through no payloads: take the text away"));
        }
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        for _ in 0..READS {
            let size = READ_AT_ONCE.min(EXPORTED - entries.len());
            let looked = Looked { wanted: wanted.clone(), text: None };
            let page = self.delivery_entries(access, looked, PageRequest::of(size, &cursor)).await?;
            entries.extend(page.items);
            match page.next {
                None => return Ok(Export { entries, complete: true }),
                Some(next) => cursor = next,
            }
            if entries.len() >= EXPORTED {
                break;
            }
        }
        Ok(Export { entries, complete: false })
    }

    /// Replays these deliveries, the last one first: lists begin with the newest. Those whose webhook is suspended or deleted are skipped.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller does not see one of them: then none is replayed. [`Error::Invalid`] for more
    /// than 100.
    pub async fn replay_together(&self, access: &Access<Webhooks>, wanted: Vec<String>) -> Result<ReplayedTogether> {
        if wanted.len() > TOGETHER {
            return Err(Error::request(format!("choose at most {TOGETHER} deliveries, or replay all that match")));
        }
        let mut ids = Vec::new();
        for wanted in wanted.iter().rev() {
            let id = id(DeliveryId::parse(wanted), Missing::Delivery)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let replay = move |tx: &Tx<'_>, visible: &Visible| {
            let mut done = ReplayedTogether::default();
            for original in ids {
                match replays::add(tx, &deliveries::endpoint_of(tx, visible, original)?, original) {
                    Ok(_) => done.replayed += 1,
                    Err(Error::Conflict { .. }) => done.skipped += 1,
                    Err(error) => return Err(error),
                }
            }
            Ok(done)
        };
        self.write(access, replay).await
    }
}
