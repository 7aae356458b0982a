//! Alerts: what people were told, and what they could not be told yet; and a mail on trial.

use super::{Access, App, Manages, Operator, Page, PageRequest};
use crate::{
    domain::token::AccessScope,
    domain::{account, alert::Alert, ids::AlertId},
    engine::alerts::send_test_mail,
    error::Result,
    store::{View, alerts, audit},
};

pub use crate::store::alerts::{ChannelState, Progress};

/// A page of alerts, each with where its ways of being told stand.
#[derive(Debug)]
pub struct AlertPage {
    /// The alerts.
    pub page: Page<(Alert, Vec<Progress>)>,
    /// How many are still to be told, over all ways and accounts; 0 for all but the operator.
    pub unsent: u64,
}

impl App {
    /// A page of alerts, newest first.
    pub async fn alerts(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<AlertPage> {
        let (size, before) = (self.page_size(&page)?, page.after(AlertId::parse)?);
        let is_operator = access.is_operator();
        let list = move |view: &View<'_>, scope: &AccessScope| {
            let unsent = if is_operator { alerts::unsent_count(view)? } else { 0 };
            Ok((alerts::list(view, scope, before, size + 1)?, unsent))
        };
        let (found, unsent) = self.read(access, list).await?;
        Ok(AlertPage { page: Page::cut(found, size, |(alert, _)| alert.id), unsent })
    }

    /// Mails a test to this address at once.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an address that no mail can be sent to;
    /// [`Unavailable`](crate::error::Error::Unavailable) if the mail server does not take it.
    pub async fn test_mail(&self, access: &Access<Operator>, to: &str) -> Result<()> {
        account::check_email(to)?;
        // Before it is sent: this write is refused if the right to ask for it is gone.
        self.write(access, |tx, _| audit::mail_tested(tx)).await?;
        send_test_mail(&self.0.config, to).await
    }
}
