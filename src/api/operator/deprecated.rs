//! Routes under their former names: `/operator/retries`, and `/operator/deliveries/{id}/retry`. They do the same as
//! `/operator/recoveries` and `/operator/deliveries/{id}/replay`, and go with the next version.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    deliveries::Replayed,
    errors::Errors,
    examples::Tag,
    wire::{DeliveryReport, RecoveryInput, Retry, RetryPage},
};
use crate::{
    api::openapi::{
        Body, NoBody, Printed, Recovered, Refused,
        refusals::{
            IsSuspended, Json, NoAccount, NoDelivery, NoRecovery, NoWebhook, NotEnded, TenGoOn, Token, UnknownEvent,
            WebhookDeleted,
        },
    },
    app::{Access, App, Operator, PageRequest},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// Replay all that match (former path)
    ///
    /// Replays every matching delivery once. It starts a recovery, as `POST /operator/recoveries` does. Use that: this
    /// path goes with the next version. Needs the scope `operator`.
    #[oai(path = "/retries", method = "post", operation_id = "startRetry", deprecated = true)]
    async fn start(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<RecoveryInput>,
    ) -> Result<Recovered<Retry>, Refused<Errors, (Token, Json, NoAccount, NoWebhook, UnknownEvent, TenGoOn)>> {
        let dry_run = body.0.dry_run.unwrap_or(false);
        let wanted = body.0.read()?;
        if dry_run {
            return Ok(Recovered::Counted(Body(app.count_matching(&access, wanted).await?.into())));
        }
        let started = app.recover(&access, wanted).await?;
        Ok(Recovered::Begun(Printed::of(&Retry::new(&started, app.profiles()))?))
    }

    /// List all recoveries (former path)
    ///
    /// Lists the recoveries of every account, newest first. It changes nothing. Use `GET /operator/recoveries`: this
    /// path goes with the next version. Needs the scope `operator`.
    #[oai(path = "/retries", method = "get", operation_id = "listRetries", deprecated = true)]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<RetryPage>, Refused<Errors, Token>> {
        let found = app.recoveries(&access, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(RetryPage::new(&found, app.profiles())))
    }

    /// Get any recovery (former path)
    ///
    /// Shows a recovery. It changes nothing. Use `GET /operator/recoveries/{recovery_id}`: this path goes with the next
    /// version. Needs the scope `operator`.
    #[oai(path = "/retries/:retry_id", method = "get", operation_id = "getRetry", deprecated = true)]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        retry_id: Path<String>,
    ) -> Result<Body<Retry>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(Retry::new(&app.recovery(&access, &retry_id.0).await?, app.profiles())))
    }

    /// Cancel any recovery (former path)
    ///
    /// Cancels a recovery. It ends the recovery, which replays nothing more. Use `POST
    /// /operator/recoveries/{recovery_id}/cancel`: this path goes with the next version. Needs the scope `operator`.
    #[oai(path = "/retries/:retry_id/cancel", method = "post", operation_id = "cancelRetry", deprecated = true)]
    async fn cancel(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        retry_id: Path<String>,
        _nothing: NoBody,
    ) -> Result<Body<Retry>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(Retry::new(&app.cancel_recovery(&access, &retry_id.0).await?, app.profiles())))
    }

    /// Replay any delivery (former path)
    ///
    /// Sends the event of a delivery again. It makes a new delivery. It is refused with 409 until the delivery has
    /// ended. Use `POST /operator/deliveries/{delivery_id}/replay`: this path goes with the next version. Needs the
    /// scope `operator`.
    #[oai(path = "/deliveries/:delivery_id/retry", method = "post", operation_id = "retryDelivery", deprecated = true)]
    async fn replay(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
        _nothing: NoBody,
    ) -> Result<Replayed, Refused<Errors, (Token, NoDelivery, IsSuspended, WebhookDeleted, NotEnded)>> {
        let made = app.replay(&access, &delivery_id.0).await?;
        Ok(Replayed::Accepted(Printed::of(&DeliveryReport::new(&made, app.profiles()))?))
    }
}
