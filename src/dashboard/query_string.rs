//! Makes the parts of an address: its query, and texts in its path.

use url::form_urlencoded::{Serializer, byte_serialize};

/// A text as one part of a path.
pub(super) fn path_part(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// The address of an account's page.
pub(super) fn account_page(id: &str) -> String {
    format!("/ui/accounts/{}", path_part(id))
}

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
