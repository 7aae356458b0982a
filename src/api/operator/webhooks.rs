//! `/operator/webhooks`.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{WebhookHistory, WebhookReportPage, WebhookState},
};
use crate::{
    api::openapi::{
        Body, Refused,
        refusals::{NoAccount, NoWebhook, Token},
    },
    app::{Access, App, Operator, PageRequest, webhooks::WebhookFilter},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/webhooks")]
impl Routes {
    /// List all webhooks
    ///
    /// Lists the webhooks of every account, newest first, with statistics of their attempts. It changes nothing.
    /// Deleted webhooks are listed only if `status` asks for them. To pause, resume, change or test a webhook, use the
    /// routes of its profile with the same token. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAllWebhooks")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Only webhooks of this account.
        account_id: Query<Option<String>>,
        /// Only webhooks with this status.
        status: Query<Option<WebhookState>>,
        /// Only active webhooks whose last attempt failed.
        failing: Query<Option<bool>>,
        /// Only webhooks whose URL or name contains this text, in any letter case.
        url: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<WebhookReportPage>, Refused<Errors, (Token, NoAccount)>> {
        let filter = WebhookFilter {
            account: account_id.0,
            state: status.0.map(Into::into),
            failing: failing.0.unwrap_or(false),
            url: url.0,
            after: None,
        };
        let found = app.webhook_reports(&access, filter, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(WebhookReportPage::new(&found, app.profiles())))
    }

    /// Get any webhook
    ///
    /// Shows a webhook with statistics, and its attempts of the last seven days by the hour. It changes nothing. Needs
    /// the scope `operator`.
    #[oai(path = "/:webhook_id", method = "get", operation_id = "getAnyWebhook")]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The webhook's id.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookHistory>, Refused<Errors, (Token, NoWebhook)>> {
        let (report, hours) = app.webhook_report(&access, &webhook_id.0).await?;
        Ok(Body(WebhookHistory::new(&report, &hours, app.profiles())))
    }
}
