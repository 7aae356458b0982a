//! The routes under `/v1`: parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, NAME, TASK_SETTLED, WEBHOOK,
    envelope::TaskSettled,
    wire::{
        Accepted, AcceptedEvents, Delivery, DeliveryRef, NewEvent, NewEvents, NewWebhook, Task, WebhookStatus,
        WebhookView,
    },
};
use crate::{
    api::{
        Deps, Tag,
        auth::Authenticated,
        body::{Body, Printed},
        publishing::{self, Place},
        refused::{Refused, WithBody, WithoutBody},
    },
    config::Limits,
    domain::{
        endpoint::{EventFilter, TargetUrl},
        event::{self, Audience, IdempotencyKey, Published},
        excerpt::excerpt,
        ids::EndpointId,
        json,
        timestamp::Timestamp,
        token::{Caller, Scope},
    },
    error::{Conflict, Error, Invalid, Missing, Result},
    store::{Admission, Tx, accounts, deliveries, endpoints, events},
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Registered {
    /// Registered and active.
    #[oai(status = 201)]
    Created(Body<WebhookView>),
}

#[derive(ApiResponse)]
enum Publication {
    /// On disk, and on its way.
    #[oai(status = 202)]
    Accepted(Body<Accepted>),
}

#[derive(ApiResponse)]
enum BatchPublication {
    /// All of them are on disk, and on their way.
    #[oai(status = 202)]
    Accepted(Printed<AcceptedEvents>),
}

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1")]
impl Routes {
    /// Register a webhook
    ///
    /// From then on every settled task goes out to it, but those published for the `callback_url` of another. Needs the scope
    /// `webhooks`.
    #[oai(path = "/webhooks", method = "post", operation_id = "asgRegisterWebhook")]
    async fn register(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewWebhook>,
    ) -> Result<Registered, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Webhooks)?;
        let account = auth.0.acts_for(body.0.account.as_deref(), "account")?.to_owned();
        let events = body.0.events.unwrap_or_else(|| vec![TASK_SETTLED.to_owned()]);
        let events = EventFilter::parse(events, [TASK_SETTLED].into_iter(), deps.limits.events_per_webhook)?;
        let url = deps.target(&body.0.callback_url)?;
        let secret = deps.secret(body.0.secret)?;
        deps.vet(&auth.0, &url).await?;
        let shown = secret.shown();
        let most = deps.limits.webhooks_per_account;
        let register = move |tx: &Tx<'_>| {
            let account = accounts::find(tx, NAME, &account)?;
            endpoints::create(tx, &account, url, events, &secret.secret, most)
        };
        let endpoint = deps.db.write(grant, Admission::Try, register).await?;
        Ok(Registered::Created(Body(WebhookView { secret: shown, ..WebhookView::from(&endpoint) })))
    }

    /// List webhooks
    ///
    /// Every webhook of the account, with the newest 1,000 of the deleted ones. Secrets are not returned. Needs the scope `webhooks`.
    #[oai(path = "/webhooks", method = "get", operation_id = "asgListWebhooks")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
    ) -> Result<Body<Vec<WebhookView>>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = auth.0.walls(NAME, Scope::Webhooks)?;
        let endpoints = deps.db.read_as(grant, move |view| endpoints::list(view, &walls)).await?;
        Ok(Body(endpoints.iter().map(WebhookView::from).collect()))
    }

    /// Delete a webhook
    ///
    /// Deactivates it (a soft delete) and cancels what is still pending for it; an attempt under way may still arrive.
    /// Deleting it again answers the same, until it is forgotten after a time (`retention.undelivered` in the server's config, 90 days by default). Needs
    /// the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id", method = "delete", operation_id = "asgDeleteWebhook")]
    async fn delete(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookView>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = auth.0.walls(NAME, Scope::Webhooks)?;
        let id = EndpointId::from_wire(WEBHOOK, &webhook_id.0).ok_or(Error::NotFound(Missing::Webhook))?;
        let delete = move |tx: &Tx<'_>| {
            endpoints::delete(tx, endpoints::find(tx, &walls, id)?.key)?;
            endpoints::find(tx, &walls, id)
        };
        Ok(Body(WebhookView::from(&deps.db.write(grant, Admission::Try, delete).await?)))
    }

    /// Publish a settled task
    ///
    /// A 202 means: on disk, and on its way to every active webhook of the account, or to the one whose URL is
    /// `callback_url`. The same `task_id` with the same body may be sent again: it gets the same answer and is delivered
    /// once, as long as the task is kept: 30 days, unless the server's `retention.delivered` says otherwise (a day at
    /// least). Needs the scope `events`.
    #[oai(path = "/events", method = "post", operation_id = "asgPublishEvent")]
    async fn publish(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewEvent>,
        place: Place,
    ) -> Result<Publication, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Events)?;
        let checked = Checked::new(body.0, &auth.0, &deps.limits)?;
        let (checked, accepted, _held) = deps
            .db
            .write(grant, Admission::Try, move |tx| {
                let accepted = checked.store(tx)?;
                Ok((checked, accepted, place))
            })
            .await?;
        deps.db.metrics().accepted(NAME, 1);
        Ok(Publication::Accepted(Body(checked.answer(&accepted))))
    }

    /// Publish many settled tasks at once
    ///
    /// 1 to 1,000 events (`limits.events_per_batch`) that come to 10,000 deliveries at most (`limits.deliveries_per_batch`), all
    /// or none: a 202 means that each is on disk and on its way, a refusal
    /// that nothing was stored; it names the first event at fault by its place, such as `events[3]`. They are taken in their
    /// order and answered in it. The same batch may be sent again, as each event is known by its `task_id`, also within one
    /// batch: it gets the same answer and is delivered once. Needs the scope `events`.
    #[oai(path = "/events/batch", method = "post", operation_id = "asgPublishBatch")]
    async fn publish_batch(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewEvents>,
        place: Place,
    ) -> Result<BatchPublication, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Events)?;
        let (caller, limits) = (auth.0, deps.limits.clone());
        let check = move |event| Checked::new(event, &caller, &limits);
        let events = publishing::check(body.0.events, &deps.limits, check).await?;
        let store = |tx: &Tx<'_>, event: &Checked| event.store(tx);
        let (place, stored) = publishing::publish(&deps, grant, place, events, store).await?;
        deps.db.metrics().accepted(NAME, stored.len());
        let answer = move || {
            let _held = place;
            let events = stored.into_iter().map(|(event, accepted)| event.answer(&accepted));
            Ok(AcceptedEvents { events: events.collect() })
        };
        Ok(BatchPublication::Accepted(Printed::new(answer).await?))
    }

    /// Look at a task
    ///
    /// What was published, and what became of its deliveries: `webhook_fail` is true when one was given up and none is under
    /// way. Needs the scope `events`.
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "asgGetTask")]
    async fn task(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The task, as it was published.
        task_id: Path<String>,
        /// The account it was published for. Needed only with a token that belongs to no account, when several have it.
        account: Query<Option<String>>,
    ) -> Result<Body<Task>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = auth.0.walls(NAME, Scope::Events)?;
        let named = account.0.map(|named| auth.0.acts_for(Some(&named), "account").map(str::to_owned)).transpose()?;
        let look = deps.db.read_as(grant, move |view| {
            let event = events::find_by_key(view, &walls, &task_id.0, named.as_deref())?;
            let deliveries = deliveries::of_event(view, event.key)?;
            let attempts = deliveries.iter().map(|delivery| deliveries::attempts(view, delivery.key));
            let attempts = attempts.collect::<Result<Vec<_>>>()?;
            Ok((deliveries::body_of(view, event.id)?, event, deliveries, attempts))
        });
        let (body, event, deliveries, attempts) = look.await?;
        let body = body.map_err(Error::from)?;
        let body: TaskSettled<'_> = serde_json::from_str(&body).map_err(|flaw| Error::Internal(flaw.to_string()))?;
        let status = WebhookStatus::of(&deliveries);
        Ok(Body(Task {
            task_id: body.task_id.into_owned(),
            event_id: event.id.to_string(),
            consensus_label: body.consensus_label.into_owned(),
            confidence: body.confidence,
            bsv_txid: body.bsv_txid.into_owned(),
            settled_at: body.settled_at.into_owned(),
            timestamp: body.timestamp.into_owned(),
            callback_url: event.target,
            webhook_status: status,
            webhook_fail: matches!(status, WebhookStatus::WebhookFail),
            deliveries: deliveries
                .iter()
                .zip(&attempts)
                .map(|(delivery, attempts)| Delivery::new(delivery, attempts))
                .collect(),
        }))
    }
}

/// A settled task that may be published.
struct Checked {
    account: String,
    task: NewEvent,
    audience: Audience,
    key: IdempotencyKey,
}

impl Checked {
    /// Holds a task against the page and the limits.
    fn new(task: NewEvent, caller: &Caller, limits: &Limits) -> Result<Self> {
        let account = caller.acts_for(task.account.as_deref(), "account")?.to_owned();
        let (audience, key) = check(&task, limits)?;
        Ok(Self { account, task, audience, key })
    }

    /// Stores it and sends it on its way.
    fn store(&self, tx: &Tx<'_>) -> Result<event::Accepted> {
        let event = event::NewEvent {
            account: accounts::find(tx, NAME, &self.account)?.key,
            kind: TASK_SETTLED.to_owned(),
            body: self.body(tx.now)?.into(),
            idempotency_key: Some(self.key.clone()),
        };
        match events::publish(tx, &event, &self.audience)? {
            Published::Accepted(accepted) => Ok(accepted),
            Published::Reused => {
                let message = format!("task '{}' was published before with another body", excerpt(&self.task.task_id));
                Err(Error::conflict(Conflict::Different, message))
            }
            Published::NoSuchTarget => {
                let message = "callback_url is no active webhook of this account: register it first";
                Err(Error::invalid(Invalid::Target, message))
            }
        }
    }

    /// The body of its deliveries.
    fn body(&self, now: Timestamp) -> Result<String> {
        let body = TaskSettled {
            event: TASK_SETTLED.into(),
            task_id: self.task.task_id.as_str().into(),
            consensus_label: self.task.consensus_label.as_str().into(),
            confidence: self.task.confidence.clone(),
            bsv_txid: self.task.bsv_txid.as_str().into(),
            settled_at: self.task.settled_at.as_str().into(),
            timestamp: now.to_string().into(),
        };
        serde_json::to_string(&body).map_err(|flaw| Error::Internal(flaw.to_string()))
    }

    /// What its publisher is told.
    fn answer(self, accepted: &event::Accepted) -> Accepted {
        let deliveries = accepted.deliveries.iter().map(|(delivery, endpoint)| DeliveryRef {
            delivery_id: delivery.to_string(),
            webhook_id: endpoint.on_wire(WEBHOOK),
        });
        Accepted {
            event_id: accepted.id.to_string(),
            event: TASK_SETTLED.to_owned(),
            task_id: self.task.task_id,
            deliveries: deliveries.collect(),
        }
    }
}

/// Checks what a publish asks for: whom it is for, and the key under which a repeat is known.
fn check(body: &NewEvent, limits: &Limits) -> Result<(Audience, IdempotencyKey)> {
    if body.event != TASK_SETTLED {
        let message = format!("event '{}' is unknown: expected {TASK_SETTLED}", excerpt(&body.event));
        return Err(Error::invalid(Invalid::UnknownEvent, message));
    }
    Timestamp::read("settled_at", &body.settled_at)?;
    json::check_number(body.confidence.0.get())
        .map_err(|problem| Error::invalid(Invalid::Payload, format!("confidence {problem}")))?;
    for (field, text) in [("consensus_label", &body.consensus_label), ("bsv_txid", &body.bsv_txid)] {
        if text.len() > limits.string_bytes {
            let message = format!("{field} is a string too long: at most {} bytes are taken", limits.string_bytes);
            return Err(Error::invalid(Invalid::Payload, message));
        }
    }
    let audience = match &body.callback_url {
        None => Audience::Subscribers,
        Some(url) => {
            let url = TargetUrl::parse(url, limits.url_bytes);
            Audience::Target(url.map_err(|error| error.within("callback_url: "))?)
        }
    };
    let parts = [
        body.consensus_label.as_str(),
        body.confidence.0.get(),
        &body.bsv_txid,
        &body.settled_at,
        match &audience {
            Audience::Subscribers => "",
            Audience::Target(url) => url.as_str(),
        },
    ];
    let key = IdempotencyKey::new(&body.task_id, &parts)
        .map_err(|_| Error::request(format!("task_id must have 1 to {} bytes", event::MAX_IDEMPOTENCY_KEY)))?;
    Ok((audience, key))
}
