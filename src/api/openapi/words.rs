//! Texts that are words of a list. The document shows the list as an enumeration of its own; any text is read,
//! because its handler has a better sentence for a word that is not in the list.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of words.
pub(crate) trait Words: Send + Sync + 'static {
    /// The name of its schema.
    const SCHEMA: &'static str;
    /// What a word of it is.
    const MEANING: &'static str;

    fn all() -> Vec<&'static str>;
}

/// A text that is a word of a list.
pub(crate) struct Word<W> {
    text: String,
    list: PhantomData<fn() -> W>,
}

impl<W> Word<W> {
    /// The text itself.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

impl<W, T: Into<String>> From<T> for Word<W> {
    fn from(text: T) -> Self {
        Self { text: text.into(), list: PhantomData }
    }
}

impl<W> AsRef<str> for Word<W> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<W> fmt::Debug for Word<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<'de, W> Deserialize<'de> for Word<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl<W> Serialize for Word<W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<W: Words> Type for Word<W> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        W::SCHEMA.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(W::SCHEMA.to_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(W::SCHEMA.to_owned(), |_| MetaSchema {
            description: Some(W::MEANING),
            enum_items: W::all().into_iter().map(Into::into).collect(),
            ..MetaSchema::new("string")
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<W: Words> ParseFromJSON for Word<W> {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
    }
}

impl<W: Words> ToJSON for Word<W> {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.text.clone().into())
    }
}

impl<W: Words> ParseFromParameter for Word<W> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(value.into())
    }
}
