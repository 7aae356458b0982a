//! The audit: who changed what.

use super::{Access, App, Operator, Page, PageRequest};
use crate::{
    domain::audit::{Action, Entry},
    error::Result,
    store::audit::{self, Filter},
};

impl App {
    /// A page of changes, newest first, of one account or one action if the filter asks for it. It reads at most 10,000
    /// entries, so a page with a filter may be short or empty and not the last.
    pub async fn audit(
        &self,
        access: &Access<Operator>,
        (account, action): (Option<String>, Option<Action>),
        page: PageRequest,
    ) -> Result<Page<Entry>> {
        let (size, before) = (self.page_size(&page)?, page.after(|cursor| cursor.parse().ok())?);
        let filter = Filter { account, action, before };
        let (found, next) = self.read(access, move |view, visible| audit::list(view, visible, &filter, size)).await?;
        Ok(Page::new(found, next))
    }
}
