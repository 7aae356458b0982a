//! `/operator/retries`: retry all that match.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, bad_cursor,
    deliveries::Wanted,
    page_size, walls,
    wire::{NewRetry, Retry, RetryCount, RetryPage},
};
use crate::{
    api::{
        Deps, Tag,
        auth::Authenticated,
        body::Body,
        refused::{Refused, WithBody, WithoutBody},
    },
    domain::ids::RetryId,
    error::{Error, Missing, Result},
    store::{
        Admission,
        retries::{self, Candidates, Count},
    },
};

/// Counting takes no longer: whoever asked is answered in time, and a run finds what there is by itself.
pub(in crate::api) const COUNTING: Duration = Duration::from_secs(5);

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
#[expect(clippy::large_enum_variant, reason = "one lives for the time of an answer")]
enum Asked {
    /// How many there are, with `dry_run`; nothing is retried.
    #[oai(status = 200)]
    Counted(Body<RetryCount>),
    /// The run has begun.
    #[oai(status = 202)]
    Begun(Body<Retry>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/retries")]
impl Routes {
    /// Retry all that match
    ///
    /// With `"dry_run": true` only says how many there are, or, where counting takes more than 5 s, how many were found by
    /// then. Else starts a run that replays every delivery that matches, made
    /// up to now, once: so many of each webhook at a time that nobody is flooded. It goes on after a restart. A delivery that
    /// has been replayed before is left to its replay, and tests are never retried. What belongs to a suspended or deleted
    /// webhook is skipped. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "startRetry")]
    async fn start(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewRetry>,
    ) -> Result<Asked, Refused<Errors, WithBody>> {
        let NewRetry { account_id, webhook_id, event, status, error, created_from, created_to, dry_run } = body.0;
        let status = status.map(Into::into);
        let wanted = Wanted { account_id, webhook_id, event, status, error, created_from, created_to };
        let (grant, walls) = walls(&auth)?;
        let (walls, selection) = wanted.read(&deps, walls)?;
        let field = deps.db.read_as(grant, move |view| Candidates::new(view, &walls, selection)).await?;
        let count = retries::count(&deps.db, grant.into(), &field, COUNTING).await?;
        if dry_run.unwrap_or(false) {
            let Count { matched, skipped, complete } = count;
            return Ok(Asked::Counted(Body(RetryCount { matched, skipped, complete })));
        }
        let start = deps.db.write(grant, Admission::Try, move |tx| retries::start(tx, &field, count.matched));
        Ok(Asked::Begun(Body(Retry::new(&start.await?, &deps.profiles))))
    }

    /// List retry runs
    ///
    /// Newest first. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listRetries")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<RetryPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), limit) = (walls(&auth)?, page_size(limit.0, &deps.limits)?);
        let before = cursor.0.map(|cursor| RetryId::parse(&cursor).ok_or_else(bad_cursor)).transpose()?;
        let look = deps.db.read_as(grant, move |view| retries::list(view, &walls, before, limit + 1)).await;
        let mut runs = look.map_err(|error| match error {
            Error::NotFound(_) => bad_cursor(),
            error => error,
        })?;
        let more = runs.len() > limit;
        runs.truncate(limit);
        Ok(Body(RetryPage {
            next_cursor: runs.last().filter(|_| more).map(|run| run.id.to_string()),
            retries: runs.iter().map(|run| Retry::new(run, &deps.profiles)).collect(),
        }))
    }

    /// Look at a retry run
    ///
    /// How far it has come. Needs the scope `operator`.
    #[oai(path = "/:retry_id", method = "get", operation_id = "getRetry")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The run's id, `ret_...`.
        retry_id: Path<String>,
    ) -> Result<Body<Retry>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), id) = (walls(&auth)?, parse(&retry_id.0)?);
        let run = deps.db.read_as(grant, move |view| retries::find(view, &walls, id)).await?;
        Ok(Body(Retry::new(&run, &deps.profiles)))
    }

    /// Cancel a retry run
    ///
    /// Nothing more is replayed; what has been goes out. One that has ended stays as it is. Needs the scope `operator`.
    #[oai(path = "/:retry_id/cancel", method = "post", operation_id = "cancelRetry")]
    async fn cancel(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The run's id, `ret_...`.
        retry_id: Path<String>,
    ) -> Result<Body<Retry>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), id) = (walls(&auth)?, parse(&retry_id.0)?);
        let run = deps.db.write(grant, Admission::Try, move |tx| retries::cancel(tx, &walls, id)).await?;
        Ok(Body(Retry::new(&run, &deps.profiles)))
    }
}

fn parse(text: &str) -> Result<RetryId> {
    RetryId::parse(text).ok_or(Error::NotFound(Missing::Retry))
}
