//! The selection of deliveries, as every door and the command line read it.

use crate::{
    domain::{
        profile::Profiles,
        selection::{Selection, check_time},
        token::Visible,
    },
    error::Result,
};

/// The filters of a selection, as text. A delivery is selected if it matches every given filter.
#[derive(Debug, Default, Clone)]
pub struct Wanted {
    /// Only deliveries to the webhook with this id, with its vendor's prefix.
    pub webhook: Option<String>,
    /// The other filters.
    pub selection: Selection,
}

/// The deliveries of a list: those that match the filters, and in which the text is found.
#[derive(Debug, Default)]
pub struct Looked {
    /// The filters.
    pub wanted: Wanted,
    /// An id, an idempotency key, or words of a payload.
    pub text: Option<String>,
}

impl Wanted {
    /// The selection, and the visible part, narrowed to the profile of the webhook if one is named.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for a text that is no webhook's id within the visible part;
    /// [`Invalid`](crate::error::Error::Invalid) for a time that ends before it begins.
    pub fn read(self, profiles: &Profiles, visible: &Visible) -> Result<(Visible, Selection)> {
        check_time(self.selection.from, self.selection.to)?;
        let Some(webhook) = &self.webhook else { return Ok((visible.clone(), self.selection)) };
        let (endpoint, visible) = profiles.webhook(visible, webhook)?;
        Ok((visible, Selection { endpoint: Some(endpoint), ..self.selection }))
    }
}
