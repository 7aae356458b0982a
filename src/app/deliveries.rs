//! Deliveries: list, look at, replay, cancel, and the exact request that each sends.

use super::{Access, Answer, App, Looked, Manages, Once, Page, PageRequest, Webhooks, id, webhooks};
use crate::{
    domain::{
        attempt_headers::{ACCEPT, AttemptHeaders, USER_AGENT},
        delivery::{Attempt, Delivery},
        endpoint::TargetUrl,
        event::Damaged,
        ids::DeliveryId,
        search::Place,
        selection::{Selection, check_time},
        signature::SigningSecret,
        token::Visible,
    },
    error::{Error, Missing, Result},
    store::{
        Tx, View, answers, deliveries, endpoints, own_headers, replays,
        search::{self, Range},
    },
};

pub use crate::store::search::Listed;

/// The text in the place of a signature.
pub const MASK: &str = "***";

/// A delivery, its attempts, and the request that it sends.
pub struct DeliveryDetails {
    /// The delivery, with its account.
    pub listed: Listed,
    /// Every attempt that has ended, in order.
    pub attempts: Vec<Attempt>,
    /// The request; a damaged body is never sent.
    pub request: Result<Preview, Damaged>,
}

/// A request to a receiver: its exact bytes, except the signatures.
#[derive(Debug)]
pub struct Preview {
    /// The present URL of the webhook. An earlier attempt may have used another one.
    pub url: String,
    /// The headers of the last attempt, or those that the first will have. `host` and `content-length` are added when
    /// it is sent.
    pub headers: Vec<(String, String)>,
    /// The body, the same on every attempt.
    pub body: String,
}

impl Preview {
    /// These headers with `host` and `content-length`.
    ///
    /// # Errors
    /// A URL that cannot be read, of a damaged file.
    pub(super) fn complete(mut self, listed: &Listed) -> Result<Self> {
        let origin = TargetUrl::from_stored(&listed.url)?.origin();
        let host = origin.split_once("://").map_or("", |(_, host)| host).to_owned();
        self.headers.push(("host".to_owned(), host));
        self.headers.push(("content-length".to_owned(), self.body.len().to_string()));
        Ok(self)
    }
}

impl App {
    /// A page of a webhook's deliveries, newest first: those of the selection in which the text is found. It reads at
    /// most 10,000 deliveries, or looks through payloads for [`PATIENCE`](super::PATIENCE), so it may be short or empty
    /// and not the last.
    pub async fn deliveries_of(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        (selection, text): (Selection, Option<String>),
        page: PageRequest,
    ) -> Result<Page<Delivery>> {
        check_time(selection.from, selection.to)?;
        let (id, access) = self.resolve(access, webhook)?;
        self.0.dialects.check_event(access.visible(), selection.kind.as_deref())?;
        let (asked, turn) = self.asked(&access, text, &page, DeliveryId::parse).await?;
        let list = move |view: &View<'_>, visible: &Visible| {
            let (_turn, endpoint) = (turn, webhooks::find(view, visible, id)?);
            if let Place::After(cursor) | Place::Keyed(cursor) = asked.place {
                deliveries::find(view, &endpoint, cursor).map_err(Error::of_cursor)?;
            }
            search::list(view, &Range::new(view, visible, Selection { endpoint: Some(id), ..selection })?, &asked)
        };
        let (found, next) = self.read(&access, list).await?;
        Ok(Page::new(found.into_iter().map(|listed| listed.delivery).collect(), next))
    }

    /// One delivery of a webhook, with every attempt that has ended.
    pub async fn delivery_of(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        delivery: &str,
    ) -> Result<(Delivery, Vec<Attempt>)> {
        let (endpoint, access) = self.resolve(access, webhook)?;
        let wanted = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let delivery = deliveries::find(view, &webhooks::find(view, visible, endpoint)?, wanted)?;
            let attempts = deliveries::attempts(view, delivery.key)?;
            Ok((delivery, attempts))
        };
        self.read(&access, look).await
    }

    /// Sends the event of a webhook's delivery again, as a new delivery.
    ///
    /// # Errors
    /// As [`App::delivery_of`]; [`Conflict`](crate::error::Error::Conflict) while the webhook is suspended, or until the
    /// delivery has ended; [`Invalid`](crate::error::Error::Invalid) if the key came before with another request.
    pub async fn replay_of(
        &self,
        access: &Access<Webhooks>,
        (webhook, delivery): (&str, &str),
        once: Once<Delivery>,
    ) -> Result<Answer> {
        let (endpoint, access) = self.resolve(access, webhook)?;
        let original = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let replay = move |tx: &Tx<'_>, visible: &Visible| {
            let owner = |tx: &Tx<'_>| answers::account_of(tx, endpoints::find(tx, visible, endpoint)?.key);
            once.run(tx, owner, |tx| replays::add(tx, &webhooks::find(tx, visible, endpoint)?, original))
        };
        self.write(&access, replay).await
    }

    /// A page of deliveries of all webhooks, newest first. As [`App::deliveries_of`] it may be short or empty and not the
    /// last.
    ///
    /// # Errors
    /// [`TooMany`](crate::error::Error::TooMany) if other searches through payloads do not end.
    pub async fn deliveries(
        &self,
        access: &Access<impl Manages>,
        looked: Looked,
        page: PageRequest,
    ) -> Result<Page<Listed>> {
        self.each_delivery(access, looked, page, |_, listed| listed).await
    }

    /// As [`App::deliveries`], each as `entry` reads it.
    pub(super) async fn each_delivery<T: Send + 'static>(
        &self,
        access: &Access<impl Manages>,
        looked: Looked,
        page: PageRequest,
        entry: fn(&View<'_>, Listed) -> T,
    ) -> Result<Page<T>> {
        let Looked { wanted, text } = looked;
        let (visible, selection) = wanted.read(&self.0.profiles, access.visible())?;
        self.0.dialects.check_event(&visible, selection.kind.as_deref())?;
        let (asked, turn) = self.asked(access, text, &page, DeliveryId::parse).await?;
        let list = move |view: &View<'_>, visible: &Visible| {
            let (_turn, range) = (turn, Range::new(view, visible, selection)?);
            let (found, next) = search::list(view, &range, &asked)?;
            Ok((found.into_iter().map(|listed| entry(view, listed)).collect(), next))
        };
        let (found, next) = self.read(&access.within(visible), list).await?;
        Ok(Page::new(found, next))
    }

    /// One delivery, its attempts, and the request that it sends.
    pub async fn delivery(&self, access: &Access<impl Manages>, delivery: &str) -> Result<DeliveryDetails> {
        let delivery = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let listed = search::find(view, visible, delivery)?;
            let attempts = deliveries::attempts(view, listed.delivery.key)?;
            let body = deliveries::body_of(view, listed.delivery.event)?;
            let own = own_headers::names_of(view, listed.delivery.endpoint)?;
            Ok((listed, attempts, body, own))
        };
        let (listed, attempts, body, own) = self.read(access, look).await?;
        let request = match body {
            Ok(body) => Ok(self.preview(&listed, attempts.last(), &body, (&[], &own))?),
            Err(damaged) => Err(damaged),
        };
        Ok(DeliveryDetails { listed, attempts, request })
    }

    /// Sends the event of a delivery again, as a new delivery.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) if the caller sees none of this id;
    /// [`Conflict`](crate::error::Error::Conflict) while its webhook is suspended, if it is deleted, or until the delivery
    /// has ended.
    pub async fn replay(&self, access: &Access<impl Manages>, delivery: &str) -> Result<Listed> {
        let original = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let replay = move |tx: &Tx<'_>, visible: &Visible| {
            let made = replays::add(tx, &deliveries::endpoint_of(tx, visible, original)?, original)?;
            search::find(tx, visible, made.id)
        };
        self.write(access, replay).await
    }

    /// As [`App::replay`], for a request that may be repeated.
    ///
    /// # Errors
    /// As [`App::replay`]; [`Invalid`](crate::error::Error::Invalid) if the key came before with another request.
    pub async fn replay_once(
        &self,
        access: &Access<impl Manages>,
        delivery: &str,
        once: Once<Listed>,
    ) -> Result<Answer> {
        let original = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let replay = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = deliveries::endpoint_of(tx, visible, original)?;
            let owner = |tx: &Tx<'_>| answers::account_of(tx, endpoint.key);
            once.run(tx, owner, |tx| search::find(tx, visible, replays::add(tx, &endpoint, original)?.id))
        };
        self.write(access, replay).await
    }

    /// Cancels a pending or held delivery. A cancelled delivery stays cancelled.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) if the caller sees none of this id;
    /// [`Conflict`](crate::error::Error::Conflict) while an attempt is under way, and when it has ended in another way.
    pub async fn cancel(&self, access: &Access<impl Manages>, delivery: &str) -> Result<Listed> {
        let delivery = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let cancel = move |tx: &Tx<'_>, visible: &Visible| {
            deliveries::cancel(tx, visible, delivery)?;
            search::find(tx, visible, delivery)
        };
        self.write(access, cancel).await
    }

    /// The request as the last attempt sent it, or as the first will; signed by these secrets. Without them, its
    /// signatures are masked. The values of the owner's headers are masked too; `own` has their names.
    pub(super) fn preview(
        &self,
        listed: &Listed,
        last: Option<&Attempt>,
        body: &str,
        (secrets, own): (&[&SigningSecret], &[String]),
    ) -> Result<Preview> {
        let profile = &self.dialect(&listed.profile)?.profile;
        let body = (profile.envelope)(&listed.delivery.endpoint.on_wire(profile.endpoint_prefix), body).text();
        let (event, at) = (listed.delivery.event, last.map_or_else(|| self.now(), |last| last.started_at));
        let standard = secrets.iter().map(|secret| secret.sign_standard(&event.to_string(), at, body.as_bytes()));
        let standard = standard.collect::<Vec<_>>().join(" ");
        let headers = AttemptHeaders {
            profile,
            event,
            delivery: listed.delivery.id,
            attempt: last.map_or(1, |last| last.number),
            at,
            test: listed.delivery.test,
            signature: Some(match secrets.first() {
                Some(secret) => secret.sign_body(body.as_bytes()),
                None => format!("sha256={MASK}"),
            }),
            standard: if standard.is_empty() { format!("v1,{MASK}") } else { standard },
            own: own.iter().map(|name| (name.as_str(), MASK)).collect(),
        };
        let defaults = [("accept", ACCEPT), ("user-agent", USER_AGENT)].map(|(name, value)| (name, value.to_owned()));
        let headers = headers.list().into_iter().chain(defaults);
        Ok(Preview {
            url: TargetUrl::from_stored(&listed.url)?.as_str().to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).collect(),
            body,
        })
    }
}
