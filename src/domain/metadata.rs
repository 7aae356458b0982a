//! Short texts that the owner of a webhook keeps with it, for programs of its own. They are not sent.

use std::collections::BTreeMap;

use crate::{
    domain::{excerpt::excerpt, text::is_hidden},
    error::{Error, Result},
};

/// Most entries of a webhook.
const MOST: usize = 20;
/// Longest name, in characters.
const NAME: usize = 40;
/// Longest text, in characters.
const TEXT: usize = 500;

/// The entries, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Checks the entries that an owner gives.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many, for a name or a text that is too long, empty or has hidden characters.
    pub fn parse(entries: BTreeMap<String, String>) -> Result<Self> {
        if entries.len() > MOST {
            let count = entries.len();
            return Err(Error::request(format!("metadata has {count} entries: at most {MOST} are taken")));
        }
        for (name, text) in &entries {
            let fits = |text: &str, most: usize| text.chars().count() <= most && !text.contains(is_hidden);
            if name.trim().is_empty() || !fits(name, NAME) {
                let name = excerpt(name);
                return Err(Error::request(format!(
                    "metadata has the name '{name}': a name has 1 to {NAME} characters, and no control character or mark of direction"
                )));
            }
            if !fits(text, TEXT) {
                let name = excerpt(name);
                return Err(Error::request(format!(
                    "metadata.{name} must be one line of at most {TEXT} characters, without marks of direction"
                )));
            }
        }
        Ok(Self(entries))
    }

    /// The entries of a stored text; `None` if it is none.
    pub fn from_stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// As it is stored; `None`: there is no entry.
    pub fn stored(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::json!(self.0).to_string())
    }

    /// The entries.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}
