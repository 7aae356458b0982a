//! `GET /operator/overview`.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{Errors, Tag, wire::Overview};
use crate::{
    api::openapi::{Body, Refused, WithoutBody},
    app::{Access, App, Operator},
    error::Result,
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
        access: Access<Operator>,
        app: Data<&App>,
    ) -> Result<Body<Overview>, Refused<Errors, WithoutBody>> {
        Ok(Body(Overview::new(&app.overview(&access, FAILING).await?, app.profiles())))
    }
}
