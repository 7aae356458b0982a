//! The routes under `/webhooks`: parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    catalogue, envelope,
    errors::Errors,
    examples::Tag,
    profile::{NAME, WEBHOOK},
    wire::{
        Delivery, DeliveryDetails, DeliveryPage, NewWebhook, TestRequest, TestResult, WebhookChange, WebhookDetails,
        WebhookStatus, WebhookView,
    },
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Attempt, Authenticated, Body, DeliveryStatus, OnState, Refused, WithBody, WithoutBody},
    },
    config,
    domain::{
        endpoint::{Endpoint, EndpointState, EventFilter, Resend, SuspendedReason},
        excerpt::excerpt,
        grant::Grant,
        ids::{DeliveryId, EndpointId},
        token::{Scope, Walls},
    },
    error::{Error, Invalid, Missing, Result},
    store::{
        Admission, Tx, View, accounts, audit,
        deliveries::{self, Filter},
        endpoints,
    },
};

/// Deliveries shown with a webhook.
const RECENT: usize = 20;
/// Deliveries on a page, unless asked otherwise.
const PAGE: u32 = 20;

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Registered {
    /// Registered and active.
    #[oai(status = 201)]
    Created(Body<WebhookView>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Deleted; what was pending or held for it is cancelled.
    #[oai(status = 204)]
    Gone,
}

#[derive(ApiResponse)]
enum Replayed {
    /// A new delivery of the same event, due now.
    #[oai(status = 202)]
    Accepted(Body<Delivery>),
}

#[OpenApi(tag = "Tag::AsiliChain", prefix_path = "/webhooks")]
impl Routes {
    /// Register a webhook
    ///
    /// From then on every event that it wants goes out to it. Needs the scope `webhooks`.
    #[oai(path = "/", method = "post", operation_id = "registerWebhook")]
    async fn register(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewWebhook>,
    ) -> Result<Registered, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Webhooks)?;
        let account = auth.0.acts_for(Some(&body.0.cooperative_id), "cooperative_id")?.to_owned();
        let events = EventFilter::parse(body.0.events, catalogue::names(), deps.limits.events_per_webhook)?;
        let url = deps.target(&body.0.url)?;
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
    /// Every webhook of the cooperative. Secrets are not returned. Needs the scope `webhooks`.
    #[oai(path = "/", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
    ) -> Result<Body<Vec<WebhookView>>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = auth.0.walls(NAME, Scope::Webhooks)?;
        let endpoints = deps.db.read_as(grant, move |view| endpoints::list(view, &walls)).await?;
        let present = endpoints.iter().filter(|endpoint| endpoint.state != EndpointState::Deleted);
        Ok(Body(present.map(WebhookView::from).collect()))
    }

    /// Look at a webhook
    ///
    /// How it fares: its last 20 deliveries; if it is suspended, why, since when, how many deliveries are held, and
    /// how many failed and would be sent again. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id", method = "get", operation_id = "getWebhook")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookDetails>, Refused<Errors, WithoutBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let look = deps.db.read_as(grant, move |view| {
            let endpoint = see(view, &walls, id)?;
            let recent = deliveries::list(view, &endpoint, &Filter::default(), RECENT)?.deliveries;
            let (held, failed) = (endpoints::held(view, endpoint.key)?, endpoints::failed(view, endpoint.key)?);
            Ok(WebhookDetails::new(&endpoint, held, failed, &recent))
        });
        Ok(Body(look.await?))
    }

    /// Change, pause or resume a webhook
    ///
    /// What is left out stays. `"status": "ACTIVE"` resumes a suspended one. The deliveries that failed since its last success
    /// and were not replayed are sent again, as replays and in the order in which they were made; `"resend_failed": false`
    /// leaves them. Then those that were held go out. Each has a fresh schedule; the answer says how many there are of both.
    /// Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id", method = "patch", operation_id = "updateWebhook")]
    async fn update(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        body: Body<WebhookChange>,
    ) -> Result<Body<WebhookView>, Refused<Errors, WithBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let url = body.0.url.as_deref().map(|url| deps.target(url)).transpose()?;
        let most = deps.limits.events_per_webhook;
        let events = body.0.events.map(|events| EventFilter::parse(events, catalogue::names(), most)).transpose()?;
        let secret = body.0.secret.map(|secret| secret.read("Leave it out to keep the present one.")).transpose()?;
        if let Some(url) = &url {
            deps.vet(&auth.0, url).await?;
        }
        let (status, overlap) = (body.0.status, deps.secret_overlap);
        let resend = if body.0.resend_failed == Some(false) { Resend::Nothing } else { Resend::Failed };
        let update = move |tx: &Tx<'_>| {
            let endpoint = find(tx, &walls, id)?;
            url.map(|url| endpoints::set_url(tx, endpoint.key, &url)).transpose()?;
            events.map(|events| endpoints::set_events(tx, endpoint.key, &events)).transpose()?;
            secret.map(|secret| endpoints::set_secret(tx, &endpoint, &secret, overlap)).transpose()?;
            let mut resumed = None;
            match status {
                Some(WebhookStatus::Active) => resumed = endpoints::resume(tx, endpoint.key, resend)?,
                Some(WebhookStatus::Suspended) => endpoints::suspend(tx, endpoint.key, SuspendedReason::Paused)?,
                None => {}
            }
            Ok((find(tx, &walls, id)?, resumed))
        };
        let (endpoint, resumed) = deps.db.write(grant, Admission::Try, update).await?;
        Ok(Body(WebhookView {
            resent_deliveries: resumed.map(|resumed| resumed.resent),
            released_deliveries: resumed.map(|resumed| resumed.released),
            ..WebhookView::from(&endpoint)
        }))
    }

    /// Delete a webhook
    ///
    /// What is pending or held for it is cancelled; an attempt under way may still arrive. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id", method = "delete", operation_id = "deleteWebhook")]
    async fn delete(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
    ) -> Result<Deleted, Refused<Errors, WithoutBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        deps.db.write(grant, Admission::Try, move |tx| endpoints::delete(tx, find(tx, &walls, id)?.key)).await?;
        Ok(Deleted::Gone)
    }

    /// Replay a delivery
    ///
    /// Sends the same event again as a new delivery: the same body, the same `webhook-id`. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/replay/:delivery_id", method = "post", operation_id = "replayDelivery")]
    async fn replay(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Replayed, Refused<Errors, OnState>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let original = DeliveryId::parse(&delivery_id.0).ok_or(Error::NotFound(Missing::Delivery))?;
        let replay = move |tx: &Tx<'_>| deliveries::replay(tx, &find(tx, &walls, id)?, original);
        Ok(Replayed::Accepted(Body(Delivery::from(&deps.db.write(grant, Admission::Try, replay).await?))))
    }

    /// Test a webhook
    ///
    /// Sends one signed delivery with sample data right now, also while the webhook is suspended, and says what came of
    /// it. The receiver sees `ngoma-test: true`. A test is never repeated and never suspends. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/test", method = "post", operation_id = "testWebhook")]
    async fn test(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        settings: Data<&config::AsiliChain>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        body: Body<Option<TestRequest>>,
    ) -> Result<Body<TestResult>, Refused<Errors, WithBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let named = body.0.unwrap_or_default().event;
        let api_version = settings.api_version.clone();
        let prepare = move |tx: &Tx<'_>| {
            let endpoint = find(tx, &walls, id)?;
            let entry = sample_for(&endpoint, named)?;
            audit::tested(tx, endpoint.key)?;
            let sample = entry.sample_for(&endpoint.account_id);
            let body = envelope::stored(entry.name, &api_version, &tx.now.to_string(), &sample);
            Ok((endpoint.account_id, endpoints::target(tx, endpoint.key)?, entry.name.to_owned(), body))
        };
        let (account, target, kind, body) = deps.db.write(grant, Admission::Try, prepare).await?;
        let (delivery, attempt) = (deps.send_test)(grant, account, target, kind, body).await?;
        let attempt = Attempt::from(&attempt);
        Ok(Body(TestResult {
            delivery_id: delivery.to_string(),
            delivered: attempt.error.is_none(),
            response_status: attempt.response_status,
            duration_ms: attempt.duration_ms.unwrap_or_default(),
            error: attempt.error,
            response_body: attempt.response_body,
        }))
    }

    /// List deliveries
    ///
    /// The deliveries of a webhook, newest first, page by page. A page looks at 10,000 deliveries at most: with a filter it
    /// may hold few, or none, and still have a `next_cursor` that goes on to older ones. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/deliveries", method = "get", operation_id = "listDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "each is a documented parameter of the route")]
    async fn deliveries(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// Only those with this status.
        status: Query<Option<DeliveryStatus>>,
        /// Only those of this event.
        event: Query<Option<String>>,
        /// Deliveries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<DeliveryPage>, Refused<Errors, WithoutBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let after = cursor.0.map(|cursor| DeliveryId::parse(&cursor).ok_or_else(bad_cursor)).transpose()?;
        let filter = Filter { state: status.0.map(DeliveryStatus::into), kind: event.0, after };
        let limit = limit.0.unwrap_or(PAGE.min(deps.limits.page_size));
        if !(1..=deps.limits.page_size).contains(&limit) {
            return Err(Error::request(format!("limit must be 1 to {}", deps.limits.page_size)).into());
        }
        let look = deps
            .db
            .read_as(grant, move |view| deliveries::list(view, &see(view, &walls, id)?, &filter, limit as usize));
        let page = look.await?;
        Ok(Body(DeliveryPage {
            next_cursor: page.next.map(|next| next.to_string()),
            deliveries: page.deliveries.iter().map(Delivery::from).collect(),
        }))
    }

    /// Look at a delivery
    ///
    /// With every attempt: when, how long, what was answered, why it failed. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/deliveries/:delivery_id", method = "get", operation_id = "getDelivery")]
    async fn delivery(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryDetails>, Refused<Errors, WithoutBody>> {
        let (grant, walls, id) = scoped(&auth, &webhook_id.0)?;
        let wanted = DeliveryId::parse(&delivery_id.0).ok_or(Error::NotFound(Missing::Delivery))?;
        let look = deps.db.read_as(grant, move |view| {
            let delivery = deliveries::find(view, &see(view, &walls, id)?, wanted)?;
            let attempts = deliveries::attempts(view, delivery.key)?;
            Ok(DeliveryDetails {
                delivery: Delivery::from(&delivery),
                attempts: attempts.iter().map(Attempt::from).collect(),
            })
        });
        Ok(Body(look.await?))
    }
}

fn bad_cursor() -> Error {
    Error::request("cursor is not one that this list gave: start again without it")
}

/// The caller's right and walls, and the webhook that the path names.
fn scoped(auth: &Authenticated, webhook: &str) -> Result<(Grant, Walls, EndpointId)> {
    let (grant, walls) = auth.0.walls(NAME, Scope::Webhooks)?;
    Ok((grant, walls, EndpointId::from_wire(WEBHOOK, webhook).ok_or(Error::NotFound(Missing::Webhook))?))
}

/// A webhook that is not deleted.
fn find(tx: &Tx<'_>, walls: &Walls, id: EndpointId) -> Result<Endpoint> {
    present(endpoints::find(tx, walls, id)?)
}

/// The same, for a read.
fn see(view: &View<'_>, walls: &Walls, id: EndpointId) -> Result<Endpoint> {
    present(endpoints::see(view, walls, id)?)
}

fn present(endpoint: Endpoint) -> Result<Endpoint> {
    match endpoint.state {
        EndpointState::Deleted => Err(Error::NotFound(Missing::Webhook)),
        EndpointState::Active | EndpointState::Suspended => Ok(endpoint),
    }
}

/// The event to test with: the one named, or the first that the webhook gets.
fn sample_for(endpoint: &Endpoint, named: Option<String>) -> Result<&'static catalogue::Entry> {
    let first = || endpoint.events.first_of(catalogue::names()).unwrap_or("farmer.registered").to_owned();
    let name = named.unwrap_or_else(first);
    catalogue::find(&name).ok_or_else(|| {
        Error::invalid(
            Invalid::UnknownEvent,
            format!("event '{}' is unknown: GET /event-types lists the catalogue", excerpt(&name)),
        )
    })
}
