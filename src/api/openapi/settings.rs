//! The settings of a webhook, as all doors read and show them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::body::SecretText;
use crate::domain::{
    endpoint::Endpoint,
    endpoint_settings::SettingsChange,
    own_headers::{GivenHeaders, MASK},
};

/// The settings in a request.
pub(crate) fn settings(
    metadata: Option<BTreeMap<String, String>>,
    headers: Option<BTreeMap<String, SecretText>>,
) -> SettingsChange {
    let value = |(name, SecretText(value)): (String, SecretText)| -> (String, Zeroizing<String>) { (name, value) };
    let headers = headers.map(|headers| GivenHeaders(headers.into_iter().map(value).collect()));
    SettingsChange { metadata, headers, ..SettingsChange::default() }
}

/// The metadata of a webhook; `None` if it has none.
pub(crate) fn shown_metadata(endpoint: &Endpoint) -> Option<BTreeMap<String, String>> {
    Some(endpoint.settings.metadata.entries().clone()).filter(|entries| !entries.is_empty())
}

/// The headers of a webhook, masked; `None` if it has none.
pub(crate) fn shown_headers(endpoint: &Endpoint) -> Option<BTreeMap<String, String>> {
    let masked = |name: &String| (name.clone(), MASK.to_owned());
    Some(endpoint.header_names.iter().map(masked).collect::<BTreeMap<_, _>>()).filter(|headers| !headers.is_empty())
}
