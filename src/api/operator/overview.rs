//! `GET /operator/overview`.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{errors::Errors, examples::Tag, wire::Overview};
use crate::{
    api::openapi::{Body, Refused, refusals::Token},
    app::{Access, App, Operator},
    error::Result,
};

/// Most failing webhooks in the answer.
const FAILING: usize = 20;

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// Get the overview
    ///
    /// Shows the deliveries that wait, are under way, are held or have failed; the webhooks that fail; the attempts of
    /// the last hour by the minute and of the last day by the hour. It changes nothing. Counts of attempts are at most
    /// ten seconds old. Needs the scope `operator`.
    #[oai(path = "/overview", method = "get", operation_id = "getOverview")]
    async fn overview(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
    ) -> Result<Body<Overview>, Refused<Errors, Token>> {
        Ok(Body(Overview::new(&app.overview(&access, FAILING).await?, app.profiles())))
    }
}
