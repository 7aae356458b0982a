//! `/operator/alerts`.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Query};

use super::{errors::Errors, examples::Tag, wire::AlertPage};
use crate::{
    api::openapi::{Body, Refused, refusals::Token},
    app::{Access, App, Operator, PageRequest},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// List alerts
    ///
    /// Lists the alerts of every account, newest first, each with the state of its channels. It changes nothing. Needs
    /// the scope `operator`.
    #[oai(path = "/alerts", method = "get", operation_id = "listAlerts")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AlertPage>, Refused<Errors, Token>> {
        let found = app.alerts(&access, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(AlertPage::new(found, app.profiles())))
    }
}
