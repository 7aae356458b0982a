//! Makes the query of an address.

use url::form_urlencoded::Serializer;

/// Names and values; empty values are left out.
pub(super) struct QueryString(Serializer<'static, String>);

impl QueryString {
    pub(super) fn new() -> Self {
        Self(Serializer::new(String::new()))
    }

    /// The text of a field, if it was filled in.
    pub(super) fn text(text: &str) -> Option<&str> {
        Some(text.trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.append_pair(name, value);
        }
        self
    }

    pub(super) fn query(mut self) -> String {
        self.0.finish()
    }
}
