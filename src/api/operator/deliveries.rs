//! `/operator/deliveries`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, Tag, bad_cursor, moment, now, page_size, walls, webhook,
    wire::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage, Request},
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Attempt, Authenticated, Body, DeliveryStatus, ErrorClass, OnState, Refused, WithoutBody},
    },
    domain::{grant::Grant, ids::DeliveryId, selection::Selection, token::Walls},
    error::{Error, Missing, Result},
    store::{
        Admission, Tx, deliveries,
        search::{self, Range},
    },
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Retried {
    /// A new delivery of the same event, due now.
    #[oai(status = 202)]
    Accepted(Body<DeliveryReport>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/deliveries")]
impl Routes {
    /// List all deliveries
    ///
    /// Of every account, newest first, page by page. A page looks at 10,000 deliveries at most: with a filter it may hold few
    /// or none and yet have a `next_cursor`. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAllDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Only of this account.
        account_id: Query<Option<String>>,
        /// Only to this webhook.
        webhook_id: Query<Option<String>>,
        /// Only of this event.
        event: Query<Option<String>>,
        /// Only with this status.
        status: Query<Option<DeliveryStatus>>,
        /// Only those whose last attempt failed so.
        error: Query<Option<ErrorClass>>,
        /// Only those made at this time or later, RFC 3339.
        created_from: Query<Option<String>>,
        /// Only those made at this time or earlier, RFC 3339.
        created_to: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<DeliveryReportPage>, Refused<Errors, WithoutBody>> {
        let wanted = Wanted {
            account_id: account_id.0,
            webhook_id: webhook_id.0,
            event: event.0,
            status: status.0,
            error: error.0,
            created_from: created_from.0,
            created_to: created_to.0,
        };
        let (grant, walls) = walls(&auth)?;
        let (walls, selection) = wanted.read(&deps, walls)?;
        let limit = page_size(limit.0, &deps.limits)?;
        let after = cursor.0.map(|cursor| DeliveryId::parse(&cursor).ok_or_else(bad_cursor)).transpose()?;
        let look =
            deps.db.read_as(grant, move |view| search::page(view, &Range::new(view, &walls, selection)?, after, limit));
        let (found, next) = look.await?;
        Ok(Body(DeliveryReportPage {
            next_cursor: next.map(|next| next.to_string()),
            deliveries: found.iter().map(|listed| DeliveryReport::new(listed, &deps.profiles)).collect(),
        }))
    }

    /// Look at any delivery
    ///
    /// With every attempt, and with the request as it was or would be sent: the body to the byte, the headers without the
    /// signatures, the URL as the webhook has it now. Needs the scope `operator`.
    #[oai(path = "/:delivery_id", method = "get", operation_id = "getAnyDelivery")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryReportDetails>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), id, now) = (walls(&auth)?, parse(&delivery_id.0)?, now(&deps));
        let look = deps.db.read_as(grant, move |view| {
            let listed = search::find(view, &walls, id)?;
            let attempts = deliveries::attempts(view, listed.delivery.key)?;
            let body = deliveries::body_of(view, listed.delivery.event)?;
            Ok((listed, attempts, body))
        });
        let (listed, attempts, body) = look.await?;
        Ok(Body(DeliveryReportDetails {
            request: body.ok().map(|body| Request::new(&listed, &attempts, &body, &deps.profiles, now)).transpose()?,
            attempts: attempts.iter().map(Attempt::from).collect(),
            delivery: DeliveryReport::new(&listed, &deps.profiles),
        }))
    }

    /// Retry a delivery
    ///
    /// Sends the same event again as a new delivery: the same body, the same `webhook-id`. Needs the scope `operator`.
    #[oai(path = "/:delivery_id/retry", method = "post", operation_id = "retryDelivery")]
    async fn retry(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Retried, Refused<Errors, OnState>> {
        let ((grant, walls), id) = (walls(&auth)?, parse(&delivery_id.0)?);
        let within = walls.clone();
        let retry = move |tx: &Tx<'_>| {
            let endpoint = deliveries::endpoint_of(tx, &within, id)?;
            Ok(deliveries::replay(tx, &endpoint, id)?.id)
        };
        let made = deps.db.write(grant, Admission::Try, retry).await?;
        Ok(Retried::Accepted(Body(shown(&deps, grant, walls, made).await?)))
    }

    /// Cancel a delivery
    ///
    /// One that waits for its next attempt, or is held. One that is cancelled already stays so. Needs the scope `operator`.
    #[oai(path = "/:delivery_id/cancel", method = "post", operation_id = "cancelDelivery")]
    async fn cancel(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryReport>, Refused<Errors, OnState>> {
        let ((grant, walls), id) = (walls(&auth)?, parse(&delivery_id.0)?);
        let within = walls.clone();
        deps.db.write(grant, Admission::Try, move |tx| deliveries::cancel(tx, &within, id)).await?;
        Ok(Body(shown(&deps, grant, walls, id).await?))
    }
}

fn parse(text: &str) -> Result<DeliveryId> {
    DeliveryId::parse(text).ok_or(Error::NotFound(Missing::Delivery))
}

async fn shown(deps: &Deps, grant: Grant, walls: Walls, id: DeliveryId) -> Result<DeliveryReport> {
    let listed = deps.db.read_as(grant, move |view| search::find(view, &walls, id)).await?;
    Ok(DeliveryReport::new(&listed, &deps.profiles))
}

/// Which deliveries, as it is asked for.
pub(super) struct Wanted {
    pub(super) account_id: Option<String>,
    pub(super) webhook_id: Option<String>,
    pub(super) event: Option<String>,
    pub(super) status: Option<DeliveryStatus>,
    pub(super) error: Option<ErrorClass>,
    pub(super) created_from: Option<String>,
    pub(super) created_to: Option<String>,
}

impl Wanted {
    /// The selection, and the walls narrowed to the vendor of the webhook, if one is named.
    pub(super) fn read(self, deps: &Deps, walls: Walls) -> Result<(Walls, Selection)> {
        let webhook = self.webhook_id.as_deref().map(|text| webhook(&deps.profiles, &walls, text)).transpose()?;
        let (endpoint, narrowed) = webhook.unzip();
        let selection = Selection {
            account: self.account_id,
            endpoint,
            kind: self.event,
            state: self.status.map(DeliveryStatus::into),
            failure: self.error.map(ErrorClass::into),
            from: moment("created_from", self.created_from.as_deref())?,
            to: moment("created_to", self.created_to.as_deref())?,
            delivery: None,
        };
        Ok((narrowed.unwrap_or(walls), selection))
    }
}
