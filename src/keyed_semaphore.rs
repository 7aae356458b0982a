//! A semaphore for each key, such as an account: so that no key takes the permits of the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;

/// Semaphores by key. One without a holder is forgotten.
#[derive(Debug)]
pub struct KeyedSemaphore {
    permits: usize,
    of: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl KeyedSemaphore {
    /// Gives each key this many permits.
    pub fn new(permits: usize) -> Self {
        Self { permits, of: Mutex::default() }
    }

    /// The semaphore of a key. Whoever holds a permit of it, or waits for one, must hold this too.
    pub fn of(&self, key: &str) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        Arc::clone(of.entry(key.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.permits))))
    }
}
