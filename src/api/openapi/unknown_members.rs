//! The members of a body that its documented form does not have.

use poem_openapi::{
    registry::{MetaSchemaRef, Registry},
    types::Type,
};

use crate::{domain::excerpt::excerpt, error::Error};

/// Most members that a refusal names.
const NAMED: usize = 5;

/// The unknown members that were found in a body.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// The first of them.
    names: Vec<String>,
    /// Whether there are more.
    more: bool,
}

impl Unknown {
    /// Notes an unknown member.
    pub(super) fn note(&mut self, path: &serde_ignored::Path<'_>) {
        if self.names.len() == NAMED {
            self.more = true;
            return;
        }
        // The library writes an optional body as "?".
        let path = path.to_string();
        self.names.push(excerpt(path.strip_prefix("?.").unwrap_or(&path)).into_owned());
    }

    /// Checks that there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names them, and the members that this type has.
    pub(super) fn check<T: Type>(self) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let more = if self.more { " and others" } else { "" };
        let known = known::<T>();
        let takes = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        let names = self.names.join(", ");
        Err(Error::request(format!("the body has members that are unknown here: {names}{more}. It takes {takes}")))
    }
}

/// The names of the documented members.
fn known<T: Type>() -> Vec<&'static str> {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let MetaSchemaRef::Reference(name) = T::schema_ref() else { return Vec::new() };
    let schema = registry.schemas.get(&name);
    schema.into_iter().flat_map(|schema| &schema.properties).map(|(name, _)| *name).collect()
}
