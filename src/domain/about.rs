//! What its owner calls a webhook and says about it. It is for people: nothing depends on it.

use crate::{
    domain::text::is_hidden,
    error::{Error, Result},
};

/// Longest name, in characters.
const MAX_NAME: usize = 80;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// The name and the description of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name, for people.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

impl About {
    /// These texts, each replaced by the given one. An empty text removes the former one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long, or that is not one line of text.
    pub fn with(self, name: Option<&str>, description: Option<&str>) -> Result<Self> {
        Ok(Self {
            name: replaced(self.name, name, "name", MAX_NAME)?,
            description: replaced(self.description, description, "description", MAX_DESCRIPTION)?,
        })
    }
}

fn replaced(former: Option<String>, given: Option<&str>, label: &str, most: usize) -> Result<Option<String>> {
    let Some(given) = given.map(str::trim) else { return Ok(former) };
    let length = given.chars().count();
    if length > most {
        return Err(Error::request(format!("{label} has {length} characters: at most {most} are taken")));
    }
    if given.contains(is_hidden) {
        return Err(Error::request(format!(
            "{label} holds control characters, line ends or marks of direction: it must be one line of text"
        )));
    }
    Ok(Some(given).filter(|text| !text.is_empty()).map(str::to_owned))
}
