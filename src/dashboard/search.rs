//! The search of every page's head: it leads to the thing with this id or key, or to the list of deliveries with these
//! words.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    frame::Frame,
    query_string::QueryString,
    render::{self, go},
    state::Shared,
    visit::{Allowed, Visit},
};
use crate::{
    app::{Events, Webhooks},
    domain::{
        ids::{DeliveryId, EventId, RecoveryId, RequestId},
        search::bare,
        token::Visible,
    },
    error::Error,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    q: String,
}

#[derive(Template)]
#[template(path = "search.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    text: &'a str,
    is_request: bool,
}

#[handler]
pub(super) async fn find(
    shared: Data<&Shared>,
    visit: Visit,
    webhooks: Result<Allowed<Webhooks>>,
    events: Result<Allowed<Events>>,
    asked: Query<Asked>,
) -> Result<Response> {
    let text = asked.q.trim();
    let (webhooks, events) = (webhooks.ok(), events.ok());
    if !text.is_empty() {
        match lead(&shared, webhooks.as_ref(), events.as_ref(), text).await {
            Ok(Some(address)) => return Ok(go(&address)),
            Ok(None) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let frame = Frame::new(&shared, &visit, "");
    render::page(&Page { frame, text, is_request: RequestId::parse(bare(text)).is_some() })
}

/// The address of the page that a searched text leads to; `None` for an id that nothing can have.
async fn lead(
    shared: &Shared,
    webhooks: Option<&Allowed<Webhooks>>,
    events: Option<&Allowed<Events>>,
    text: &str,
) -> Result<Option<String>, Error> {
    let (app, id) = (&shared.app, bare(text));
    if RequestId::parse(id).is_some() {
        return Ok(None);
    }
    if let Some(visit) = webhooks {
        if DeliveryId::parse(id).is_some() {
            app.delivery(&visit.access, id).await?;
            return Ok(Some(format!("/ui/deliveries/{id}")));
        }
        if RecoveryId::parse(id).is_some() {
            app.recovery(&visit.access, id).await?;
            return Ok(Some(format!("/ui/recoveries/{id}")));
        }
        if app.profiles().webhook(&Visible::EVERYTHING, id).is_ok() {
            app.webhook_in_full(&visit.access, id).await?;
            return Ok(Some(format!("/ui/webhooks/{id}")));
        }
    }
    if let Some(visit) = events {
        if EventId::parse(id).is_some() {
            app.event(&visit.access, id).await?;
            return Ok(Some(format!("/ui/events/{id}")));
        }
        if let [event] = &app.events_keyed(&visit.access, text.to_owned(), 2).await?[..] {
            return Ok(Some(format!("/ui/events/{}", event.id)));
        }
    }
    let list = if webhooks.is_some() { "deliveries" } else { "events" };
    Ok(Some(format!("/ui/{list}?{}", QueryString::new().with("q", text).query())))
}
