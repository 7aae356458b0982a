//! `/operator/webhooks`.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, bad_cursor, now, on_wire, page_size, walls, webhook,
    wire::{WebhookHistory, WebhookReport, WebhookReportPage, WebhookState},
};
use crate::{
    api::{
        Deps, Tag,
        auth::Authenticated,
        body::Body,
        refused::{Refused, WithoutBody},
    },
    domain::stats::Span,
    error::Result,
    store::{
        stats::{self, Of},
        webhooks::{self, Filter},
    },
};

/// Hours that are shown of one webhook: a week.
const WEEK: i64 = 7 * 24;

/// The routes.
pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/webhooks")]
impl Routes {
    /// List all webhooks
    ///
    /// Of every account, newest first, with how they fare. Deleted ones are shown only when `status` asks for them. Needs the
    /// scope `operator`. Pause, resume, change or test one by the routes of its vendor, with the same token.
    #[oai(path = "/", method = "get", operation_id = "listAllWebhooks")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Only of this account.
        account_id: Query<Option<String>>,
        /// Only those with this status.
        status: Query<Option<WebhookState>>,
        /// Only those that are active and whose last attempt failed.
        failing: Query<Option<bool>>,
        /// Only those whose URL holds this text, in whatever letter case.
        url: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<WebhookReportPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), now, limit) = (walls(&auth)?, now(&deps), page_size(limit.0, &deps.limits)?);
        let known = |cursor: String| webhook(&deps.profiles, &walls, &cursor).map_err(|_| bad_cursor());
        let after = cursor.0.map(known).transpose()?.map(|(id, _)| id);
        let filter = Filter {
            account: account_id.0,
            state: status.0.map(WebhookState::into),
            failing: failing.0.unwrap_or(false),
            url: url.0,
            after,
        };
        let look = deps.db.read_as(grant, move |view| {
            let (found, next) = webhooks::list(view, &walls, &filter, limit, now)?;
            let next = next.map(|next| webhooks::find(view, &walls, next, now)).transpose()?;
            Ok((found, next))
        });
        let (found, next) = look.await?;
        Ok(Body(WebhookReportPage {
            next_cursor: next.map(|next| on_wire(&deps.profiles, &next.profile, next.endpoint.id)),
            webhooks: found.iter().map(|report| WebhookReport::new(report, &deps.profiles)).collect(),
        }))
    }

    /// Look at any webhook
    ///
    /// How it fares, and its attempts of the last seven days by the hour. Needs the scope `operator`.
    #[oai(path = "/:webhook_id", method = "get", operation_id = "getAnyWebhook")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookHistory>, Refused<Errors, WithoutBody>> {
        let now = now(&deps);
        let (grant, walls) = walls(&auth)?;
        let (id, walls) = webhook(&deps.profiles, &walls, &webhook_id.0)?;
        let look = deps.db.read_as(grant, move |view| {
            let report = webhooks::find(view, &walls, id, now)?;
            let hours = stats::series(view, Of::Endpoint(report.endpoint.key), Span::Hour, WEEK, now)?;
            Ok((report, hours))
        });
        let (report, hours) = look.await?;
        Ok(Body(WebhookHistory::new(&report, &hours, &deps.profiles)))
    }
}
