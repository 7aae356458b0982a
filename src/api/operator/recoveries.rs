//! `/operator/recoveries`: each replays every matching delivery.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{RecoveryInput, RecoveryReport, RecoveryReportPage},
};
use crate::{
    api::openapi::{
        Body, NoBody, Printed, Recovered, Refused,
        refusals::{Json, NoAccount, NoRecovery, NoWebhook, TenGoOn, Token, UnknownEvent},
    },
    app::{Access, App, Operator, PageRequest},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/recoveries")]
impl Routes {
    /// Replay all that match
    ///
    /// Replays every matching delivery once, at a pace that floods no receiver. It starts a recovery, which makes new
    /// deliveries and goes on after a restart; with `"dry_run": true` it changes nothing, and only counts the matching
    /// deliveries, for at most 5 s. Failed deliveries match, unless `status` asks for others. Deliveries that are made
    /// later do not belong to it. A delivery that was replayed before is left out: its replay counts. Tests are never
    /// replayed. Deliveries of a suspended or deleted webhook are skipped. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "startRecovery")]
    async fn start(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<RecoveryInput>,
    ) -> Result<Recovered<RecoveryReport>, Refused<Errors, (Token, Json, NoAccount, NoWebhook, UnknownEvent, TenGoOn)>>
    {
        let dry_run = body.0.dry_run.unwrap_or(false);
        let wanted = body.0.read()?;
        if dry_run {
            return Ok(Recovered::Counted(Body(app.count_matching(&access, wanted).await?.into())));
        }
        let started = app.recover(&access, wanted).await?;
        Ok(Recovered::Begun(Printed::of(&RecoveryReport::new(&started, app.profiles()))?))
    }

    /// List all recoveries
    ///
    /// Lists the recoveries of every account, newest first. It changes nothing. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAllRecoveries")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<RecoveryReportPage>, Refused<Errors, Token>> {
        let found = app.recoveries(&access, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(RecoveryReportPage::new(&found, app.profiles())))
    }

    /// Get any recovery
    ///
    /// Shows a recovery, its progress, and what became of its replays. It changes nothing. Needs the scope `operator`.
    #[oai(path = "/:recovery_id", method = "get", operation_id = "getAnyRecovery")]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        recovery_id: Path<String>,
    ) -> Result<Body<RecoveryReport>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(RecoveryReport::new(&app.recovery(&access, &recovery_id.0).await?, app.profiles())))
    }

    /// Cancel any recovery
    ///
    /// Cancels a recovery. It ends the recovery, which replays nothing more; replays made before go out. A recovery
    /// that has ended stays as it is. Needs the scope `operator`.
    #[oai(path = "/:recovery_id/cancel", method = "post", operation_id = "cancelAnyRecovery")]
    async fn cancel(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        recovery_id: Path<String>,
        _nothing: NoBody,
    ) -> Result<Body<RecoveryReport>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(RecoveryReport::new(&app.cancel_recovery(&access, &recovery_id.0).await?, app.profiles())))
    }
}
