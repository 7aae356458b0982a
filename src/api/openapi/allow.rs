//! Which methods each path takes.

use std::sync::LazyLock;

use serde_json::Value;

use super::contract;

/// What takes a GET takes a HEAD too.
const READ: &str = "GET, HEAD";

/// Which methods each path takes, read from the contract: RFC 9110 asks a 405 to say so.
pub(super) struct Allowed(Vec<(Vec<String>, String)>);

/// Read when somebody first asks so.
pub(super) static ALLOWED: LazyLock<Allowed> = LazyLock::new(|| {
    let contract = contract().inspect_err(|error| tracing::error!(%error, "no 405 says which methods a path takes"));
    Allowed::read(&contract.unwrap_or_default())
});

impl Allowed {
    fn read(contract: &str) -> Self {
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

    pub(super) fn at(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(part, given)| part.starts_with('{') || part == given)
        };
        // A path of its own comes before one with a parameter in its place.
        let own = self.0.iter().find(|(template, _)| *template == parts);
        own.or_else(|| self.0.iter().find(|(template, _)| fits(template)))
            .map_or_else(|| READ.to_owned(), |(_, methods)| methods.clone())
    }
}
