//! The header `If-Match`: the versions of a webhook to which a request may be applied.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};

use crate::domain::version::IfMatch;

/// The versions that a request names. One that is no text names a version that no webhook has.
pub(crate) struct OnlyIf(pub(crate) IfMatch, Option<String>);

impl<'a> ApiExtractor<'a> for OnlyIf {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = Option<String>;
    type ParamRawType = String;

    fn register(registry: &mut Registry) {
        <Option<String> as Type>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(Option::<String>::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&String> {
        self.1.as_ref()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<Option<String>>,
    ) -> poem::Result<Self> {
        let lines = request.headers().get_all(options.name).iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        // Several lines are one list (RFC 9110, section 5.3).
        let text = (!lines.is_empty()).then(|| lines.join(","));
        Ok(Self(IfMatch::parse(text.as_deref()), text))
    }
}
