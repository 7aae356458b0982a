//! `/operator/alerts`.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Query};

use super::{
    Errors, Tag, bad_cursor, page_size, walls,
    wire::{Alert, AlertPage},
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Authenticated, Body, Refused, WithoutBody},
    },
    domain::ids::AlertId,
    store::alerts,
};

/// The routes.
pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// List alerts
    ///
    /// Of every account, newest first: what was told, by which ways, and what is still to be told. Needs the scope `operator`.
    #[oai(path = "/alerts", method = "get", operation_id = "listAlerts")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AlertPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), limit) = (walls(&auth)?, page_size(limit.0, &deps.limits)?);
        let before = cursor.0.map(|cursor| AlertId::parse(&cursor).ok_or_else(bad_cursor)).transpose()?;
        let look = deps.db.read_as(grant, move |view| {
            Ok((alerts::list(view, &walls, before, limit + 1)?, alerts::unsent_count(view)?))
        });
        let (mut found, unsent) = look.await?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(Body(AlertPage {
            unsent,
            next_cursor: found.last().filter(|_| more).map(|(alert, _)| alert.id.to_string()),
            alerts: found.iter().map(|(alert, ways)| Alert::new(alert, ways, &deps.profiles)).collect(),
        }))
    }
}
