//! The operations of the contract: which methods each path takes, for the header `Allow` of a 405, and which query
//! parameters each operation takes. A request with any other parameter is refused: a misspelt filter must not list
//! everything.

use std::sync::LazyLock;

use poem::{Request, http::Method};
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    domain::excerpt::excerpt,
    error::{Error, Result},
};

/// A path that takes a GET takes a HEAD too.
const READ: &str = "GET, HEAD";

/// The paths of the contract, each with its operations.
pub(crate) struct Operations(Vec<Path>);

struct Path {
    /// The parts between slashes; a parameter stands in braces.
    template: Vec<String>,
    /// Each method, in capital letters, with the names of its query parameters.
    methods: Vec<(String, Vec<String>)>,
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
            let methods = operations.map(|(method, operation)| (method.to_uppercase(), query_names(operation)));
            Path { template: path.split('/').map(str::to_owned).collect(), methods: methods.collect() }
        });
        Self(read.collect())
    }

    /// The methods of a path, as the header `Allow` lists them. RFC 9110 asks a 405 to list them.
    pub(crate) fn allow(&self, path: &str) -> String {
        let Some(found) = self.find(path) else { return READ.to_owned() };
        let methods = found.methods.iter().map(|(method, _)| if method == "GET" { READ } else { method.as_str() });
        methods.collect::<Vec<_>>().join(", ")
    }

    /// Checks that the operation takes every parameter of the request's query.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the first parameter that it does not take, and those that it takes.
    pub(crate) fn check_query(&self, request: &Request) -> Result<()> {
        let Some(query) = request.uri().query().filter(|query| !query.is_empty()) else { return Ok(()) };
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let found = self.find(request.uri().path()).into_iter().flat_map(|path| &path.methods);
        let known: Vec<&String> = found.filter(|(of, _)| of == method.as_str()).flat_map(|(_, names)| names).collect();
        let mut given = form_urlencoded::parse(query.as_bytes());
        let Some((unknown, _)) = given.find(|(name, _)| !known.iter().any(|known| *known == name)) else {
            return Ok(());
        };
        let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
        let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("the query has an unknown parameter, {}: this route takes {takes}", excerpt(&unknown));
        Err(Error::request(message))
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

fn query_names(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let in_query = parameters.filter(|parameter| parameter["in"] == "query");
    in_query.filter_map(|parameter| parameter["name"].as_str().map(str::to_owned)).collect()
}
