//! Figures, for a program that gathers them (Prometheus, and whatever reads its format).

use std::{sync::Arc, time::Duration};

use poem::{IntoResponse, Request, RequestBody, Response, web::Data};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    payload::Payload,
    registry::{MetaSchemaRef, Registry},
    types::Type,
};

use super::{
    Common, Deps, Tag,
    auth::Authenticated,
    look::Looks,
    refused::{Refused, WithoutBody},
};
use crate::{
    domain::{grant::Grant, token::Scope},
    error::Error,
    figures::CONTENT_TYPE,
};

/// How often the database is looked through for whoever gathers: so often it may be asked, and no more.
const PAUSE: Duration = Duration::from_secs(10);

/// Who may see the figures: the operator, by this right, or everybody if the config says so.
pub(crate) struct Watcher(Option<Grant>);

impl<'a> ApiExtractor<'a> for Watcher {
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
        if request.data::<Deps>().is_some_and(|deps| deps.watch.metrics_public) {
            return Ok(Self(None));
        }
        let Authenticated(caller) = Authenticated::from_request(request, body, options).await?;
        if !caller.scopes.is_operator() {
            let message = "this token lacks the scope 'operator': make one by 'ngoma token create --scope operator'";
            return Err(Error::Forbidden(message.to_owned()).into());
        }
        Ok(Self(Some(caller.horizon(Scope::Operator)?.0)))
    }
}

/// Figures in the text format.
pub(crate) struct Text(String);

impl Payload for Text {
    const CONTENT_TYPE: &'static str = "application/openmetrics-text";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        Response::builder().content_type(CONTENT_TYPE).body(self.0)
    }
}

#[derive(ApiResponse)]
pub(crate) enum Shown {
    /// All figures.
    #[oai(status = 200)]
    Text(Text),
}

/// The route, and when the database was last looked through.
#[derive(Default)]
pub(crate) struct Routes(Looks<()>);

#[OpenApi(tag = "Tag::Health")]
impl Routes {
    /// What is counted and measured
    ///
    /// In the text format of Prometheus and OpenMetrics; the guide's chapter on monitoring lists every figure. What has to be read from the
    /// database is read every 10 seconds at most. Needs the scope `operator`, unless `watch.metrics_public` is set.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self, watcher: Watcher, deps: Data<&Deps>) -> Result<Shown, Refused<Common, WithoutBody>> {
        let figures = Arc::clone(deps.db.figures());
        let (db, now, shown) = (deps.db.clone(), deps.clock.now(), Arc::clone(&figures));
        let survey = || async move {
            let found = db.survey(now).await;
            shown.show(found.as_ref().inspect_err(|error| tracing::warn!(%error, "no figures from the database")).ok());
        };
        if self.0.last(deps.clock.uptime(), PAUSE, survey).await.is_none() {
            // It panicked.
            figures.show(None);
        }
        watcher.0.map(|grant| deps.db.check(grant)).transpose()?;
        Ok(Shown::Text(Text(figures.text())))
    }
}
