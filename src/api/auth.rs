//! Who is asking: the bearer token of a request.

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};

use super::{
    Deps,
    exchange::Exchange,
    publishing::{self, Form},
    vendor_of,
};
use crate::{
    domain::token::{BearerToken, Caller, Scope},
    error::Error,
    store::{
        Admission,
        tokens::{self, LAST_USED_GRAIN},
    },
};

/// The bearer token that `ngoma token create` (or `ngoma serve --dev`) printed.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "token", bearer_format = "ngm_...", checker = "authenticate")]
pub(crate) struct Authenticated(pub(crate) Caller);

/// Looks the token up at every request, so that revoking works at once, whichever process does it.
async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let unknown =
        || Error::Unauthorized("this token is unknown or revoked: make one by 'ngoma token create'".to_owned());
    let deps = request.data::<Deps>().ok_or_else(|| Error::Internal("no dependencies".to_owned()))?;
    let token = BearerToken::parse(&bearer.token).ok_or_else(unknown)?;
    let caller = deps.db.read_inline(|view| tokens::caller(view, &token))?.ok_or_else(unknown)?;
    let exchange = request.data::<Exchange>();
    exchange.inspect(|exchange| exchange.is_of(&caller));
    let form = publishing::form(request);
    if form == Some(Form::Batch) {
        // Before it is read.
        caller.walls(vendor_of(request.uri().path()), Scope::Events)?;
    }
    // Publishing is limited by the writer's queue alone, and watching must not fail while somebody manages.
    let is_watching = request.uri().path() == "/metrics";
    if form.is_none() && !is_watching {
        let left = deps.quota.spend(caller.token);
        exchange.inspect(|exchange| exchange.spent().note(&left));
        left.outcome?;
    }
    if let Some(exchange) = exchange.filter(|_| request.method().is_safe() && !is_watching) {
        exchange.begin_read(&deps.budgets).await?;
        // It may have waited.
        deps.db.check(caller.grant())?;
    }
    let now = deps.clock.now();
    if caller.last_used_at.is_none_or(|used| now.since(used) >= LAST_USED_GRAIN) {
        let (id, grant, db) = (caller.token, caller.grant(), deps.db.clone());
        // Nobody waits for this note, and a full queue may drop it.
        tokio::spawn(async move { db.write(grant, Admission::Try, move |tx| tokens::used(tx, id)).await });
    }
    Ok(caller)
}
