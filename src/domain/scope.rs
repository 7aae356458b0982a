//! Scopes: the actions that a token allows.

use std::fmt;

use crate::{
    config::command_for_all,
    domain::excerpt::excerpt,
    error::{Error, Result},
};

/// A scope of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Manage webhooks, read and replay deliveries.
    Webhooks,
    /// Publish events, read events and tasks.
    Events,
    /// Everything, in every account.
    Operator,
}

impl Scope {
    /// Every scope, in the order they are printed.
    pub const ALL: [Self; 3] = [Self::Webhooks, Self::Events, Self::Operator];

    /// Its name in a token, on the command line and in the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Events => "events",
            Self::Operator => "operator",
        }
    }
}

/// A non-empty set of scopes, printed as `webhooks,events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads `webhooks,events`.
    ///
    /// # Errors
    /// An unknown scope, or none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut scopes = Vec::new();
        for name in text.split(',').map(str::trim) {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or_else(|| {
                Error::request(format!("unknown scope '{}': expected webhooks, events or operator", excerpt(name)))
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(Self(scopes))
    }

    /// Whether the set holds this scope, or `operator`, which holds all.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.is_operator()
    }

    /// Refuses a set without this scope.
    ///
    /// # Errors
    /// [`Error::Forbidden`], with what to do.
    pub fn need(&self, scope: Scope) -> Result<()> {
        if self.allow(scope) {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "this token lacks the scope '{}': make one with it by '{}'",
            scope.name(),
            command_for_all("token create")
        )))
    }

    /// Whether the set holds `operator`.
    pub fn is_operator(&self) -> bool {
        self.0.contains(&Scope::Operator)
    }

    /// The names, in the order they were given.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.name()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}
