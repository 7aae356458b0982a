//! `/operator/retries`: runs that replay every matching delivery.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{NewRetry, Retry, RetryCount, RetryPage},
};
use crate::{
    api::openapi::{Body, Refused, WithBody, WithoutBody},
    app::{Access, App, Operator, PageRequest},
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
#[expect(clippy::large_enum_variant, reason = "one lives for the time of an answer")]
enum Asked {
    /// The number of matching deliveries, with `dry_run`. Nothing is replayed.
    #[oai(status = 200)]
    Counted(Body<RetryCount>),
    /// The run has started.
    #[oai(status = 202)]
    Begun(Body<Retry>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/retries")]
impl Routes {
    /// Replay all that match
    ///
    /// Starts a run that replays every matching delivery once, at a pace that floods no receiver. The run goes on after
    /// a restart. Deliveries that are made later do not belong to it. A delivery that was replayed before is left out:
    /// its replay counts. Tests are never replayed. Deliveries of a suspended or deleted webhook are skipped. With
    /// `"dry_run": true` the matching deliveries are only counted, for at most 5 s. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "startRetry")]
    async fn start(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<NewRetry>,
    ) -> Result<Asked, Refused<Errors, WithBody>> {
        let dry_run = body.0.dry_run.unwrap_or(false);
        let wanted = body.0.read()?;
        if dry_run {
            return Ok(Asked::Counted(Body(app.count_matching(&access, wanted).await?.into())));
        }
        Ok(Asked::Begun(Body(Retry::new(&app.recover(&access, wanted).await?, app.profiles()))))
    }

    /// List retry runs
    ///
    /// The runs, newest first. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listRetries")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<RetryPage>, Refused<Errors, WithoutBody>> {
        let found = app.runs(&access, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(RetryPage::new(&found, app.profiles())))
    }

    /// Get a retry run
    ///
    /// The run and its progress. Needs the scope `operator`.
    #[oai(path = "/:retry_id", method = "get", operation_id = "getRetry")]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The run's id, `ret_...`.
        retry_id: Path<String>,
    ) -> Result<Body<Retry>, Refused<Errors, WithoutBody>> {
        Ok(Body(Retry::new(&app.run(&access, &retry_id.0).await?, app.profiles())))
    }

    /// Cancel a retry run
    ///
    /// The run replays nothing more; replays made before go out. A run that has ended stays as it is. Needs the scope
    /// `operator`.
    #[oai(path = "/:retry_id/cancel", method = "post", operation_id = "cancelRetry")]
    async fn cancel(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The run's id, `ret_...`.
        retry_id: Path<String>,
    ) -> Result<Body<Retry>, Refused<Errors, WithoutBody>> {
        Ok(Body(Retry::new(&app.cancel_run(&access, &retry_id.0).await?, app.profiles())))
    }
}
