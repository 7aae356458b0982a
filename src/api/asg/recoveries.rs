//! Recoveries: `POST /v1/webhooks/{webhook_id}/recover`, and the routes under `/v1/recoveries`.

use poem::web::Data;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
};
use serde::{Deserialize, Serialize};

use super::{errors::Errors, examples::Tag, profile::EventNames};
use crate::{
    api::openapi::{
        self, Body, ErrorClass, NoBody, Recoverable, Recovered, RecoveryCount, Refused, Repeat, Word,
        refusals::{IsSuspended, Json, KeyReused, NoRecovery, NoWebhook, TenGoOn, Token, UnknownEvent},
        wire_enum,
    },
    app::{Access, App, Page, PageRequest, Webhooks},
    domain::{
        profile::Profiles,
        recovery::{self, RecoveryState as Progress},
        selection::Selection,
        timestamp::Timestamp,
    },
    error::Result,
};

/// The status of the deliveries to replay.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Enum)]
#[oai(rename = "AsgRecoverableStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Status {
    /// The deliveries were given up after their last attempt.
    Failed,
    /// The deliveries arrived. Their receivers get them again.
    Delivered,
    /// The deliveries were cancelled.
    Cancelled,
    /// Each of these.
    Any,
}

impl From<Status> for Recoverable {
    fn from(status: Status) -> Self {
        match status {
            Status::Failed => Self::Failed,
            Status::Delivered => Self::Delivered,
            Status::Cancelled => Self::Cancelled,
            Status::Any => Self::Any,
        }
    }
}

impl From<Recoverable> for Status {
    fn from(status: Recoverable) -> Self {
        match status {
            Recoverable::Failed => Self::Failed,
            Recoverable::Delivered => Self::Delivered,
            Recoverable::Cancelled => Self::Cancelled,
            Recoverable::Any => Self::Any,
        }
    }
}

/// The deliveries of a webhook to replay: those that match every given field.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "AsgRecoveryInput")]
struct RecoveryInput {
    /// Only deliveries made at this time or later: RFC 3339.
    since: String,
    /// Only deliveries made at this time or earlier: RFC 3339. Default: now.
    until: Option<String>,
    /// The status of the deliveries: `failed` (the default), `delivered`, `cancelled` or `any` of these.
    status: Option<Status>,
    /// Only deliveries of this event.
    event: Option<Word<EventNames>>,
    /// Only deliveries whose last attempt failed with this error.
    error: Option<ErrorClass>,
    /// Whether to count the deliveries only.
    dry_run: Option<bool>,
}

impl RecoveryInput {
    fn read(self) -> Result<Selection> {
        Ok(Selection {
            kind: self.event.map(Word::into_text),
            state: Recoverable::state(self.status.map(Into::into)),
            failure: self.error.map(Into::into),
            from: Some(Timestamp::read("since", &self.since)?),
            to: Timestamp::read_if("until", self.until.as_deref())?,
            ..Selection::default()
        })
    }
}

wire_enum! {
    /// The state of a recovery.
    AsgRecoveryState ("snake_case") of Progress {
        /// It goes on, also after a restart.
        Running => Running,
        /// All that matched was replayed or skipped. Replays may still wait.
        Done => Done,
        /// Somebody cancelled it. Replays made before go out.
        Cancelled => Cancelled,
    }
}

/// A recovery: it replays every matching delivery once.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgRecovery")]
struct Recovery {
    /// Its id.
    recovery_id: String,
    /// Its state.
    state: AsgRecoveryState,
    /// Deliveries that matched at the start. It grows if the recovery finds more than were counted in 5 s.
    matched: u64,
    /// Deliveries that were replayed so far.
    replayed: u64,
    /// Deliveries that were skipped so far: their webhook is paused or deleted, or somebody else has replayed them.
    skipped: u64,
    /// Replays that were delivered.
    delivered: u64,
    /// Replays that were given up after their last attempt.
    failed: u64,
    /// Replays that wait for an attempt or are under way. Those that are missing in the sum were cancelled.
    waiting: u64,
    /// When it was started: RFC 3339, UTC. Later deliveries do not belong to it.
    created_at: String,
    /// When it ended; null while it goes on.
    ended_at: Option<String>,
    /// Who started it: a token's id, `command line`, or `somebody else` for a person outside the account.
    actor: String,
    /// Only deliveries to this webhook; null for all.
    webhook_id: Option<String>,
    /// Only deliveries of this event; null for all.
    event: Option<String>,
    /// The status of the deliveries; null for a recovery of one delivery.
    status: Option<Status>,
    /// Only deliveries whose last attempt failed with this error; null for all.
    error: Option<ErrorClass>,
    /// Only deliveries made at this time or later; null for all.
    since: Option<String>,
    /// Only deliveries made at this time or earlier; null for all.
    until: Option<String>,
}

impl Recovery {
    fn new(found: &recovery::Recovery, profiles: &Profiles) -> Self {
        let view = openapi::Recovery::new(found, profiles);
        Self {
            recovery_id: view.recovery_id,
            state: found.state.into(),
            matched: view.matched,
            replayed: view.replayed,
            skipped: view.skipped,
            delivered: view.delivered,
            failed: view.failed,
            waiting: view.waiting,
            created_at: view.created_at,
            ended_at: view.ended_at,
            actor: view.actor,
            webhook_id: view.webhook_id,
            event: view.event,
            status: view.status.map(Into::into),
            error: view.error,
            since: view.since,
            until: view.until,
        }
    }
}

/// One page of recoveries, newest first.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgRecoveryPage")]
struct RecoveryPage {
    /// The recoveries.
    recoveries: Vec<Recovery>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Option<String>,
}

impl RecoveryPage {
    fn new(page: &Page<recovery::Recovery>, profiles: &Profiles) -> Self {
        let recoveries = page.items.iter().map(|found| Recovery::new(found, profiles)).collect();
        Self { recoveries, next_cursor: page.next.clone() }
    }
}

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1")]
impl Routes {
    /// Replay what a webhook has missed
    ///
    /// Replays what a webhook has missed: every matching delivery once, at a pace that does not flood it. It starts a
    /// recovery, which makes new deliveries and goes on after a restart; with `"dry_run": true` it changes nothing, and
    /// only counts the matching deliveries, for at most 5 s. Failed deliveries match, unless `status` asks for others.
    /// A delivery that was replayed before is left out: its replay counts. Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id/recover", method = "post", operation_id = "asgRecoverWebhook")]
    async fn recover(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        body: Body<RecoveryInput>,
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
    #[oai(path = "/recoveries", method = "get", operation_id = "asgListRecoveries")]
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
    #[oai(path = "/recoveries/:recovery_id", method = "get", operation_id = "asgGetRecovery")]
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
    #[oai(path = "/recoveries/:recovery_id/cancel", method = "post", operation_id = "asgCancelRecovery")]
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
