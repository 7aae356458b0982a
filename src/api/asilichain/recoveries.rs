//! Recoveries: `POST /webhooks/{webhook_id}/recover`, and the routes under `/recoveries`.

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
};
use serde::Deserialize;

use super::{catalogue::EventNames, errors::Errors, examples::Tag};
use crate::{
    api::openapi::{
        Body, ErrorClass, NoBody, Recoverable, Recovered, Recovery, RecoveryCount, RecoveryPage, Refused, Repeat, Word,
        refusals::{IsSuspended, Json, KeyReused, NoRecovery, NoWebhook, TenGoOn, Token, UnknownEvent},
    },
    app::{Access, App, PageRequest, Webhooks},
    domain::{selection::Selection, timestamp::Timestamp},
    error::Result,
};

/// The deliveries of a webhook to replay: those that match every given field.
#[derive(Debug, Deserialize, Object)]
pub(super) struct WebhookRecoveryInput {
    /// Only deliveries made at this time or later: RFC 3339. The attempts of a delivery take up to 2 h 36 min (by
    /// default).
    since: String,
    /// Only deliveries made at this time or earlier: RFC 3339. Default: now.
    until: Option<String>,
    /// The status of the deliveries: `FAILED` (the default), `DELIVERED`, `CANCELLED` or `any` of these.
    status: Option<Recoverable>,
    /// Only deliveries of this event.
    event: Option<Word<EventNames>>,
    /// Only deliveries whose last attempt failed with this error.
    error: Option<ErrorClass>,
    /// Whether to count the deliveries only.
    dry_run: Option<bool>,
}

impl WebhookRecoveryInput {
    fn read(self) -> Result<Selection> {
        Ok(Selection {
            kind: self.event.map(Word::into_text),
            state: Recoverable::state(self.status),
            failure: self.error.map(Into::into),
            from: Some(Timestamp::read("since", &self.since)?),
            to: Timestamp::read_if("until", self.until.as_deref())?,
            ..Selection::default()
        })
    }
}

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::AsiliChain")]
impl Routes {
    /// Replay what a webhook has missed
    ///
    /// Replays what a webhook has missed: every matching delivery once, at a pace that does not flood it. It starts a
    /// recovery, which makes new deliveries and goes on after a restart; with `"dry_run": true` it changes nothing, and
    /// only counts the matching deliveries, for at most 5 s, also while the webhook is suspended. Failed deliveries
    /// match, unless `status` asks for others. A delivery that was replayed before is left out: its replay counts.
    /// Tests are never replayed. Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id/recover", method = "post", operation_id = "recoverWebhook")]
    async fn recover(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        body: Body<WebhookRecoveryInput>,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<
        Recovered<Recovery>,
        Refused<Errors, (Token, Json, NoWebhook, IsSuspended, TenGoOn, UnknownEvent, KeyReused)>,
    > {
        let dry_run = body.0.dry_run.unwrap_or(false);
        let selection = body.0.read()?;
        if dry_run {
            let count = app.count_matching_of(&access, &webhook_id.0, selection).await?;
            return Ok(Recovered::Counted(Body(RecoveryCount::from(count))));
        }
        let profiles = app.profiles().clone();
        let once = idempotency_key.answering(move |started| Recovery::new(started, &profiles));
        Ok(Recovered::Begun(app.recover_webhook(&access, &webhook_id.0, selection, once).await?.into()))
    }

    /// List recoveries
    ///
    /// Lists the recoveries of the account, newest first. It changes nothing. Needs the scope `webhooks`.
    #[oai(path = "/recoveries", method = "get", operation_id = "listRecoveries")]
    async fn list(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<RecoveryPage>, Refused<Errors, Token>> {
        let found = app.recoveries(&access, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(RecoveryPage::new(&found, app.profiles())))
    }

    /// Get a recovery
    ///
    /// Shows a recovery, its progress, and what became of its replays. It changes nothing. Needs the scope `webhooks`.
    #[oai(path = "/recoveries/:recovery_id", method = "get", operation_id = "getRecovery")]
    async fn get(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        recovery_id: Path<String>,
    ) -> Result<Body<Recovery>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(Recovery::new(&app.recovery(&access, &recovery_id.0).await?, app.profiles())))
    }

    /// Cancel a recovery
    ///
    /// Cancels a recovery. It ends the recovery, which replays nothing more; replays made before go out. A recovery
    /// that has ended stays as it is. One that somebody outside the account has started is theirs to cancel. Needs the
    /// scope `webhooks`.
    #[oai(path = "/recoveries/:recovery_id/cancel", method = "post", operation_id = "cancelRecovery")]
    async fn cancel(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The recovery's id, `rec_...`.
        recovery_id: Path<String>,
        _nothing: NoBody,
    ) -> Result<Body<Recovery>, Refused<Errors, (Token, NoRecovery)>> {
        Ok(Body(Recovery::new(&app.cancel_recovery(&access, &recovery_id.0).await?, app.profiles())))
    }
}
