//! The bearer token, as the document describes it.

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};

use crate::{domain::token::Caller, error::Error, http::auth::TokenCheck};

/// The bearer token that `ngoma token create` (or `ngoma serve --dev`) printed.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "token", bearer_format = "ngm_...", checker = "authenticate")]
pub(crate) struct Authenticated(pub(crate) Caller);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let missing = || Error::Internal("a request without a check of tokens".to_owned());
    Ok(request.data::<TokenCheck>().ok_or_else(missing)?.caller(request, &bearer.token).await?)
}
