//! Consecutive things that are alike, put together to one line that opens.

/// Consecutive things that are alike.
pub(super) struct Alike<T> {
    pub(super) first: T,
    pub(super) more: Vec<T>,
}

impl<T> Alike<T> {
    /// Puts consecutive things with the same key together.
    pub(super) fn runs<K: PartialEq>(things: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for thing in things {
            match runs.last_mut() {
                Some(run) if key(&run.first) == key(&thing) => run.more.push(thing),
                _ => runs.push(Self { first: thing, more: Vec::new() }),
            }
        }
        runs
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        1 + self.more.len()
    }

    /// The last one.
    pub(super) fn last(&self) -> &T {
        self.more.last().unwrap_or(&self.first)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.more)
    }
}
