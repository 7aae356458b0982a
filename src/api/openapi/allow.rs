//! The methods that each path takes: the header `Allow` of a 405.

use serde_json::Value;

/// A path that takes a GET takes a HEAD too.
const READ: &str = "GET, HEAD";

/// The methods that each path takes. RFC 9110 asks a 405 to list them.
pub(crate) struct Allow(Vec<(Vec<String>, String)>);

impl Allow {
    pub(crate) fn read(contract: &str) -> Self {
        let document: Value = serde_json::from_str(contract).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        Self(
            paths
                .iter()
                .map(|(path, item)| {
                    let methods = item.as_object().into_iter().flatten().map(|(method, _)| match method.as_str() {
                        "get" => READ.to_owned(),
                        method => method.to_uppercase(),
                    });
                    (path.split('/').map(str::to_owned).collect(), methods.collect::<Vec<_>>().join(", "))
                })
                .collect(),
        )
    }

    /// The methods of a path, as the header lists them.
    pub(crate) fn at(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(part, given)| part.starts_with('{') || part == given)
        };
        // A path without parameters comes before one with a parameter in the same place.
        let own = self.0.iter().find(|(template, _)| *template == parts);
        own.or_else(|| self.0.iter().find(|(template, _)| fits(template)))
            .map_or_else(|| READ.to_owned(), |(_, methods)| methods.clone())
    }
}
