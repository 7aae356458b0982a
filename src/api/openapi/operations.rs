//! The operations of the contract: which methods each path takes, for the header `Allow` of a 405, and which query
//! parameters each operation takes. A request with any other parameter is refused: a misspelt filter must not list
//! everything.

use std::{collections::BTreeSet, sync::LazyLock};

use poem::{Request, http::Method};
use serde_json::Value;
use url::form_urlencoded;

use super::idempotency::HEADER;
use crate::{
    domain::excerpt::excerpt,
    error::{Error, Result},
    http::context::RequestContext,
};

/// A path that takes a GET takes a HEAD too.
const READ: &str = "GET, HEAD";

/// The paths of the contract, each with its operations.
pub(crate) struct Operations(Vec<Path>);

struct Path {
    /// The parts between slashes; a parameter stands in braces.
    template: Vec<String>,
    methods: Vec<Operation>,
}

struct Operation {
    /// In capital letters.
    method: String,
    /// The names of its query parameters.
    query: Vec<String>,
    /// Whether it takes the header `Idempotency-Key`.
    takes_key: bool,
}

impl Operation {
    fn read(method: &str, operation: &Value) -> Self {
        let names = |place: &'static str| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.filter(move |parameter| parameter["in"] == place).filter_map(|one| one["name"].as_str())
        };
        Self {
            method: method.to_uppercase(),
            query: names("query").map(str::to_owned).collect(),
            takes_key: names("header").any(|name| name.eq_ignore_ascii_case(HEADER)),
        }
    }

    fn check_query(&self, query: &str) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if !self.query.iter().any(|known| *known == name) {
                let takes = if self.query.is_empty() { "none".to_owned() } else { self.query.join(", ") };
                let name = excerpt(&name);
                return Err(Error::request(format!(
                    "the query has an unknown parameter, {name}: this route takes {takes}"
                )));
            }
            if !seen.insert(name.clone()) {
                return Err(Error::request(format!("the query has the parameter {name} twice: send it once")));
            }
        }
        Ok(())
    }
}

/// The operations, for the routes to find them in their requests.
#[derive(Clone, Copy)]
pub(crate) struct OfContract(pub(crate) &'static LazyLock<Operations>);

impl Operations {
    pub(crate) fn read(contract: &str) -> Self {
        let document: Value = serde_json::from_str(contract).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let read = paths.map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            let methods = operations.map(|(method, operation)| Operation::read(method, operation));
            Path { template: path.split('/').map(str::to_owned).collect(), methods: methods.collect() }
        });
        Self(read.collect())
    }

    /// The methods of a path, as the header `Allow` lists them. RFC 9110 asks a 405 to list them.
    pub(crate) fn allow(&self, path: &str) -> String {
        let Some(found) = self.find(path) else { return READ.to_owned() };
        let methods = found.methods.iter().map(|one| if one.method == "GET" { READ } else { one.method.as_str() });
        methods.collect::<Vec<_>>().join(", ")
    }

    /// Checks that the operation takes every parameter of the request's query, each of them once, and its idempotency
    /// key.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the first parameter that it does not take, and those that it takes.
    pub(crate) fn check(&self, request: &Request) -> Result<()> {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let found = self.find(request.uri().path()).into_iter().flat_map(|path| &path.methods);
        let Some(operation) = found.into_iter().find(|operation| operation.method == method.as_str()) else {
            return Ok(());
        };
        operation.check_query(request.uri().query().unwrap_or_default())?;
        // The other methods have the same effect when they are sent again; a publish is lenient.
        let manages = RequestContext::of(request)?.door().publishing().is_none();
        if manages && method == Method::POST && !operation.takes_key && request.headers().contains_key(HEADER) {
            let message = "this route takes no Idempotency-Key, so a repeat would be a second request: leave it out";
            return Err(Error::request(message));
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Option<&Path> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(part, given)| part.starts_with('{') || part == given)
        };
        // A path without parameters comes before one with a parameter in the same place.
        let own = self.0.iter().find(|path| path.template == parts);
        own.or_else(|| self.0.iter().find(|path| fits(&path.template)))
    }
}
