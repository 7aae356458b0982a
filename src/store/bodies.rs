//! The bodies of deliveries in memory. The deliveries of one event share a large body, and its bytes count until the last of
//! them lets it go.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::Result;
use crate::domain::event::{Damaged, EventKey, StoredBody};

/// A body up to this size, in bytes, is small. Small bodies are bounded by the number of claims; large ones by their bytes
/// too, and they are not claimed ahead of a free place.
pub const SMALL_BODY: usize = 16 << 10;

/// The body of a claim. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Body {
    text: Arc<str>,
    /// Only of a large one.
    _counted: Option<Arc<Counted>>,
}

impl Deref for Body {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl<T: Into<Arc<str>>> From<T> for Body {
    fn from(text: T) -> Self {
        Self { text: text.into(), _counted: None }
    }
}

/// Counts the large bodies in memory. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Bodies(Arc<Mutex<Large>>);

#[derive(Debug, Default)]
struct Large {
    bytes: usize,
    of: HashMap<EventKey, Weak<Counted>>,
}

/// A large body: its bytes count as long as it is there.
#[derive(Debug)]
struct Counted {
    event: EventKey,
    text: Arc<str>,
    bodies: Bodies,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut large = self.bodies.large();
        large.bytes -= self.text.len();
        // Another delivery of the event may have read it again meanwhile.
        if large.of.get(&self.event).is_some_and(|body| body.strong_count() == 0) {
            large.of.remove(&self.event);
        }
    }
}

impl Bodies {
    /// Bytes of all large bodies in memory.
    pub fn bytes(&self) -> usize {
        self.large().bytes
    }

    /// The large body of this event, with `size` bytes, if large bodies then have at most `most` bytes in all; one that is
    /// larger is read when no other is there. `read` is called only if the body is not in memory.
    ///
    /// # Errors
    /// What `read` says.
    pub(super) fn keep(
        &self,
        event: EventKey,
        size: usize,
        most: usize,
        read: impl FnOnce() -> Result<StoredBody>,
    ) -> Result<Option<Result<Body, Damaged>>> {
        let (known, bytes) = {
            let large = self.large();
            (large.of.get(&event).and_then(Weak::upgrade), large.bytes)
        };
        let counted = match known {
            Some(counted) => counted,
            None if most == 0 || bytes + size.min(most) > most => return Ok(None),
            None => {
                let text = match read()? {
                    Ok(text) => text,
                    Err(damaged) => return Ok(Some(Err(damaged))),
                };
                let counted = Arc::new(Counted { event, text, bodies: self.clone() });
                let mut large = self.large();
                large.bytes += counted.text.len();
                large.of.insert(event, Arc::downgrade(&counted));
                counted
            }
        };
        Ok(Some(Ok(Body { text: Arc::clone(&counted.text), _counted: Some(counted) })))
    }

    fn large(&self) -> MutexGuard<'_, Large> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
