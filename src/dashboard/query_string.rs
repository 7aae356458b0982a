//! Makes the parts of an address: its query, and texts in its path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded::Serializer;

/// All that is not written as it is in a part of a path: the rest are RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one part of a path.
pub(super) fn path_part(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
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
