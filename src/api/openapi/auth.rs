//! The bearer token, as the document describes it, and the access that it gives.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, SecurityScheme, auth::Bearer, registry::Registry,
};

use super::operations::OfContract;
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
///
/// Every operation with a token takes its access. So this is also the one place that refuses a query with a parameter
/// that the operation does not take. A monitor may add parameters of its own.
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
        let door = RequestContext::of(request)?.door();
        let access = Self::new(caller, door.vendor())?;
        if !door.is_monitoring() {
            let missing = || Error::Internal("a request without the operations of the contract".to_owned());
            request.data::<OfContract>().ok_or_else(missing)?.0.check(request)?;
        }
        Ok(access)
    }
}
