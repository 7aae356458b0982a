//! Pages of a list, and the cursors between them.

use super::{
    Access, App, Right,
    searches::{PATIENCE, Turn},
};
use crate::{
    domain::search::{Asked, Place, Sought},
    error::{Error, Result},
};

/// Entries on a page, if the client names no number.
const USUAL: u32 = 20;

/// A page that a caller asks for.
#[derive(Debug)]
pub struct PageRequest {
    size: Size,
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    /// The client's number of entries, which `limits.page_size` limits.
    Asked(Option<u32>),
    /// The number of entries that a door has chosen for its own pages.
    Own(usize),
}

impl PageRequest {
    /// The page that a client asks for: the number of its entries, and the cursor of the page before.
    pub fn asked(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { size: Size::Asked(limit), cursor }
    }

    /// As [`PageRequest::asked`]; `None` if neither is given: then the whole list is asked for.
    pub fn asked_if(limit: Option<u32>, cursor: Option<String>) -> Option<Self> {
        (limit.is_some() || cursor.is_some()).then(|| Self::asked(limit, cursor))
    }

    /// A page of the size that a door has chosen. An empty cursor begins the list.
    pub fn of(size: usize, cursor: &str) -> Self {
        let cursor = Some(cursor.trim()).filter(|cursor| !cursor.is_empty());
        Self { size: Size::Own(size), cursor: cursor.map(str::to_owned) }
    }

    /// The entry that the cursor names, read by `read`; `None` at the beginning of the list.
    ///
    /// # Errors
    /// [`Error::bad_cursor`] if `read` does not understand it.
    pub(super) fn after<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        self.cursor.as_deref().map(|cursor| read(cursor).ok_or_else(Error::bad_cursor)).transpose()
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

impl<T> Page<T> {
    /// A page and the cursor of the next, as the store found them.
    pub(super) fn new(items: Vec<T>, next: Option<impl ToString>) -> Self {
        Self { items, next: next.map(|next| next.to_string()) }
    }

    /// A page of this size, from a list that was read one entry further. `cursor` names an entry.
    pub(super) fn cut<C: ToString>(mut items: Vec<T>, size: usize, cursor: impl FnOnce(&T) -> C) -> Self {
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| cursor(last).to_string());
        Self { items, next }
    }
}

impl App {
    /// Reads a text to look for, and the page of it that is asked for. If that may look through payloads, it waits for
    /// its turn; its time begins with the turn.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long, and for a cursor that no list gave; [`Error::TooMany`] if the turn
    /// does not come in time.
    pub(super) async fn asked<S: Right, T: Copy>(
        &self,
        access: &Access<S>,
        text: Option<String>,
        page: &PageRequest,
        read: fn(&str) -> Option<T>,
    ) -> Result<(Asked<T>, Option<Turn>)> {
        let sought = text.map(|text| Sought::parse(&text, &self.0.profiles)).transpose()?.flatten();
        let place = page.after(|cursor| Place::parse(cursor, read))?.unwrap_or(Place::Start);
        let (limit, clock) = (self.page_size(page)?, self.clock());
        let turn = match &sought {
            Some(Sought::Words(_)) => Some(self.0.searches.turn(clock, access.actor()).await?),
            _ => None,
        };
        Ok((Asked { sought, place, limit, until: clock.uptime() + PATIENCE }, turn))
    }

    /// The number of entries on a page.
    ///
    /// # Errors
    /// [`Error::Invalid`] for less than 1 or more than `limits.page_size`.
    pub(super) fn page_size(&self, page: &PageRequest) -> Result<usize> {
        let most = self.limits().page_size;
        match page.size {
            Size::Own(size) => Ok(size),
            Size::Asked(asked) => {
                let size = asked.unwrap_or(USUAL.min(most));
                if (1..=most).contains(&size) {
                    return Ok(size as usize);
                }
                Err(Error::request(format!("limit must be 1 to {most}")))
            }
        }
    }
}
