//! The metrics, for a program that gathers them (Prometheus, and others that read its format).

use std::{marker::PhantomData, time::Duration};

use poem::{
    IntoResponse, Request, RequestBody, Response,
    web::{Accept, Data},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi, ResponseContent,
    payload::Payload,
    registry::{MetaSchemaRef, Registry},
    types::Type,
};

use super::openapi::{Refused, Shape, Tag, refusals::Unlimited};
use crate::{
    app::{Access, App, Operator},
    http::single_flight::SingleFlight,
    metrics::Format,
};

/// The database is read for the metrics once in this time at most.
const PAUSE: Duration = Duration::from_secs(10);

/// The right to see the metrics: the operator has it, or everybody if the settings say so.
pub(crate) struct Watcher(Option<Access<Operator>>);

impl<'a> ApiExtractor<'a> for Watcher {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Access::<Operator>::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Access::<Operator>::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if request.data::<App>().is_some_and(App::shows_metrics_to_all) {
            return Ok(Self(None));
        }
        Ok(Self(Some(Access::from_request(request, body, options).await?)))
    }
}

/// The metrics in OpenMetrics.
pub(crate) struct OpenMetrics(String);

impl Payload for OpenMetrics {
    const CONTENT_TYPE: &'static str = "application/openmetrics-text";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for OpenMetrics {
    fn into_response(self) -> Response {
        Response::builder().content_type(Format::OpenMetrics.content_type()).body(self.0)
    }
}

/// The metrics in the text format.
pub(crate) struct Text(String);

impl Payload for Text {
    const CONTENT_TYPE: &'static str = "text/plain";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        Response::builder().content_type(Format::Text.content_type()).body(self.0)
    }
}

/// The format that a request likes better (RFC 9110, 12.5.1); OpenMetrics if it likes both as much.
fn format(Accept(ranges): &Accept) -> Format {
    let liked = |names: [&str; 3]| {
        let fitting = ranges.iter().filter_map(|range| {
            let place = names.iter().position(|name| range.essence_str() == *name)?;
            let weight = range.get_param("q").and_then(|weight| weight.as_str().parse().ok());
            Some((place, weight.unwrap_or(1.0_f32)))
        });
        // Of the most exact ranges the first: poem puts those that are liked better before.
        fitting.min_by_key(|(place, _)| *place).map_or(0.0, |(_, weight)| weight)
    };
    let text = liked([Text::CONTENT_TYPE, "text/*", "*/*"]);
    if text > liked([OpenMetrics::CONTENT_TYPE, "application/*", "*/*"]) { Format::Text } else { Format::OpenMetrics }
}

#[derive(ResponseContent)]
pub(crate) enum Exposition {
    OpenMetrics(OpenMetrics),
    Text(Text),
}

#[derive(ApiResponse)]
pub(crate) enum Shown {
    /// All metrics.
    #[oai(status = 200)]
    Metrics(Exposition),
}

/// The route, and the last reading of the database. `E` is the shape of its errors.
pub(crate) struct Routes<E>(SingleFlight<()>, PhantomData<E>);

impl<E> Default for Routes<E> {
    fn default() -> Self {
        Self(SingleFlight::default(), PhantomData)
    }
}

#[OpenApi(tag = "Tag::Health")]
impl<E: Shape> Routes<E> {
    /// Get the metrics
    ///
    /// Shows the metrics, in OpenMetrics. It changes nothing. A request that prefers `text/plain` by its
    /// header `Accept` gets Prometheus's text format 0.0.4. The guide's chapter on monitoring explains every metric. The metrics of the database are at
    /// most 10 seconds old. Needs the scope `operator`, unless `watch.metrics_public` is set.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self, watcher: Watcher, accept: Accept, app: Data<&App>) -> Result<Shown, Refused<E, Unlimited>> {
        let surveyor = app.clone();
        let survey = || async move { surveyor.survey().await };
        if self.0.recent(app.clock().uptime(), PAUSE, survey).await.is_none() {
            // The survey panicked.
            app.metrics().show(None);
        }
        watcher.0.map(|access| app.check_access(&access)).transpose()?;
        let format = format(&accept);
        let text = app.metrics().text(format);
        Ok(Shown::Metrics(match format {
            Format::OpenMetrics => Exposition::OpenMetrics(OpenMetrics(text)),
            Format::Text => Exposition::Text(Text(text)),
        }))
    }
}
