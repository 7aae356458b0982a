//! The bearer token, as the document describes it, and the access that it gives.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, SecurityScheme, auth::Bearer, registry::Registry,
};

use crate::{
    app::{Access, Right},
    domain::token::Caller,
    error::Error,
    http::{auth::TokenCheck, context::RequestContext},
};

/// The bearer token that `ngoma token create` (or `ngoma serve --dev`) printed.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "token", bearer_format = "ngm_...", checker = "authenticate")]
struct Authenticated(Caller);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let missing = || Error::Internal("a request without a check of tokens".to_owned());
    Ok(request.data::<TokenCheck>().ok_or_else(missing)?.caller(request, &bearer.token).await?)
}

/// The access of the caller, taken before the body is read. At a vendor's door it is to that vendor's accounts, at any
/// other door to every account that the token reaches.
impl<'a, S: Right> ApiExtractor<'a> for Access<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Authenticated::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Authenticated::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let Authenticated(caller) = Authenticated::from_request(request, body, options).await?;
        Ok(Self::new(caller, RequestContext::of(request)?.door().vendor())?)
    }
}
