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

/// The access of the caller: to the vendor whose door the request came to, or, where the door is no vendor's, to all that
/// their token reaches. It is taken before the body is read.
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
