//! A request's header as a parameter of an operation, documented as an optional text.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};

use crate::error::Result;

/// A value that is read from a header.
pub(crate) struct HeaderOf<T>(pub(crate) T);

/// Reads a header, which may be missing.
pub(crate) trait OfHeader: Sized {
    /// Reads the header of this name.
    ///
    /// # Errors
    /// A header that cannot be taken.
    fn read(request: &Request, name: &str) -> Result<Self>;
}

impl<'a, T: OfHeader> ApiExtractor<'a> for HeaderOf<T> {
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

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<Option<String>>,
    ) -> poem::Result<Self> {
        Ok(Self(T::read(request, options.name)?))
    }
}
