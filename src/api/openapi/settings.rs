//! The settings of a webhook, as all doors read and show them.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use zeroize::Zeroizing;

use super::body::SecretText;
use crate::domain::{
    endpoint::Endpoint,
    endpoint_settings::SettingsChange,
    excerpt::excerpt,
    own_headers::{GivenHeaders, HeadersChange, MASK},
};

/// Defines an object of texts by name. Its schema has a name of its own: otherwise generators of clients make one up.
macro_rules! texts {
    ($(#[doc = $meaning:literal] $name:ident of $text:ty as $schema:literal;)*) => {$(
        #[doc = $meaning]
        #[derive(Default, Deserialize, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name(#[serde(deserialize_with = "each_once")] BTreeMap<String, $text>);

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $schema.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Reference($schema.to_owned())
            }

            fn register(registry: &mut Registry) {
                registry.create_schema::<Self, _>($schema.to_owned(), |_| MetaSchema {
                    description: Some($meaning.trim_ascii_start()),
                    additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))),
                    ..MetaSchema::new("object")
                });
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }
        }
    )*};
}

texts! {
    /// Texts for the programs of a webhook's owner, by name.
    Metadata of String as "WebhookMetadata";
    /// Headers that every request to a webhook has. In answers their values are masked.
    Headers of SecretText as "WebhookHeaders";
}

/// Reads an object each of whose names stands there once.
fn each_once<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, T>, D::Error> {
    struct EachOnce<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for EachOnce<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut read = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, T>()? {
                let place = excerpt(&name).into_owned();
                if read.insert(name, value).is_some() {
                    return Err(A::Error::custom(format!("the name {place} is there twice")));
                }
            }
            Ok(read)
        }
    }

    from.deserialize_map(EachOnce(PhantomData))
}

/// Reads a member of a change. It is `None` only if it was left out: null is a value like others, and many types have
/// none.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A member that null removes, as its empty value does.
pub(crate) fn removed_by_null<T: Default>(member: Option<Option<T>>) -> Option<T> {
    member.map(Option::unwrap_or_default)
}

/// The settings in a request.
pub(crate) fn settings(metadata: Option<Metadata>, headers: Option<Headers>) -> SettingsChange {
    let value = |(name, SecretText(value)): (String, SecretText)| -> (String, Zeroizing<String>) { (name, value) };
    let headers = headers.map(|headers| HeadersChange::All(GivenHeaders(headers.0.into_iter().map(value).collect())));
    SettingsChange { metadata: metadata.map(|metadata| metadata.0), headers, ..SettingsChange::default() }
}

/// The metadata of a webhook; `None` if it has none.
pub(crate) fn shown_metadata(endpoint: &Endpoint) -> Option<Metadata> {
    let entries = endpoint.settings.metadata.entries();
    (!entries.is_empty()).then(|| Metadata(entries.clone()))
}

/// The headers of a webhook, masked; `None` if it has none.
pub(crate) fn shown_headers(endpoint: &Endpoint) -> Option<Headers> {
    let masked = |name: &String| (name.clone(), SecretText(MASK.to_owned().into()));
    let headers: BTreeMap<_, _> = endpoint.header_names.iter().map(masked).collect();
    (!headers.is_empty()).then_some(Headers(headers))
}
