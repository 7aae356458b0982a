//! Alerts with the state of each channel; and the test mail.

use super::{Access, App, Manages, Operator, Page, PageRequest};
use crate::{
    domain::token::Visible,
    domain::{account, alert::Alert, excerpt::excerpt, ids::AlertId, operator_alert::OperatorAlert},
    engine::try_channels::send_test_mail,
    error::Result,
    store::{View, alerts, audit, channels, operator_alerts},
};

pub use crate::store::alerts::{ChannelState, Progress};

/// How many of the alerts about the server are shown.
const SHOWN: usize = 10;

/// A page of alerts, each with the state of its channels.
#[derive(Debug)]
pub struct AlertPage {
    /// The alerts.
    pub page: Page<(Alert, Vec<Progress>)>,
    /// The number of alerts that are not sent yet, over all accounts and all channels that are set up. Only the operator sees it; others
    /// see 0.
    pub unsent: u64,
}

impl App {
    /// A page of alerts, newest first.
    pub async fn alerts(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<AlertPage> {
        let (size, before) = (self.page_size(&page)?, page.after(AlertId::parse)?);
        let (is_operator, set_up) = (access.is_operator(), self.0.engine.alerts().set_up());
        let list = move |view: &View<'_>, visible: &Visible| {
            let unsent = if is_operator { channels::unsent_count(view, &set_up)? } else { 0 };
            Ok((alerts::list(view, visible, before, size + 1)?, unsent))
        };
        let (found, unsent) = self.read(access, list).await?;
        Ok(AlertPage { page: Page::cut(found, size, |(alert, _)| alert.id), unsent })
    }

    /// Sends a test mail to this address at once.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an address that no mail can be sent to;
    /// [`Unavailable`](crate::error::Error::Unavailable) if the mail server does not take it.
    pub async fn test_mail(&self, access: &Access<Operator>, to: &str) -> Result<()> {
        account::check_email(to)?;
        // This write is refused if the right to ask for the mail is gone. So it comes before the mail.
        self.write(access, |tx, _| audit::mail_tested(tx)).await?;
        send_test_mail(&self.0.config, to).await
    }

    /// The channels of alerts that can be tested: name, kind, and where each is, without secrets.
    pub fn channels(&self, _: &Access<Operator>) -> Vec<(String, &'static str, String)> {
        self.0.engine.alerts().channels()
    }

    /// Sends a test to the channel of this name.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) if there is none;
    /// [`Unavailable`](crate::error::Error::Unavailable) with the reason if it does not take the test.
    pub async fn test_channel(&self, access: &Access<Operator>, name: &str) -> Result<()> {
        let asked = excerpt(name).into_owned();
        self.write(access, move |tx, _| audit::channel_tested(tx, &asked)).await?;
        self.0.engine.alerts().test(name).await
    }

    /// The last alerts about the server, newest first, each with the state of its channels. Only the operator sees them.
    pub async fn server_alerts(&self, access: &Access<impl Manages>) -> Result<Vec<(OperatorAlert, Vec<Progress>)>> {
        let shown = if access.is_operator() { SHOWN } else { 0 };
        self.read(access, move |view, _| operator_alerts::list(view, shown)).await
    }
}
