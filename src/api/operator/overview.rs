//! `GET /operator/overview`.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{Errors, Tag, now, walls, wire::Overview};
use crate::{
    api::{
        deps::Deps,
        openapi::{Authenticated, Body, Refused, WithoutBody},
    },
    store::{overview, webhooks},
};

/// Failing webhooks that are shown.
const FAILING: usize = 20;

/// The routes.
pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// How everything stands
    ///
    /// What waits, what is under way, what is held and what failed; which webhooks fail; the attempts of the last hour by the
    /// minute and of the last day by the hour. Figures of attempts are ten seconds old at most. Needs the scope `operator`.
    #[oai(path = "/overview", method = "get", operation_id = "getOverview")]
    async fn overview(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
    ) -> Result<Body<Overview>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), now) = (walls(&auth)?, now(&deps));
        let failing = webhooks::Filter { failing: true, ..webhooks::Filter::default() };
        let look = deps.db.read_as(grant, move |view| {
            Ok((overview::look(view, &walls, now)?, webhooks::list(view, &walls, &failing, FAILING, now)?.0))
        });
        let (overview, failing) = look.await?;
        Ok(Body(Overview::new(&overview, &failing, &deps.profiles, now)))
    }
}
