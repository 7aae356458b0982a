//! The right by which a request acts, as a value. Every method of [`App`](super::App) that reads or writes for a
//! request takes it. Health and metrics take none.
//!
//! The type says which scope a token must have. A handler takes an `Access` from its request and hands it on. A handler
//! that forgets it has nothing to hand on, and does not compile.

use std::marker::PhantomData;

use crate::{
    domain::{
        audit::Actor,
        token::{Caller, Scope, Visible},
    },
    error::{Error, Result},
};

/// The scope that a token must have, as a type.
pub trait Right: Clone + Send + Sync + 'static {
    /// The scope; `None`: any token will do.
    const NEEDED: Option<Scope>;
}

/// The right to manage webhooks and to see their deliveries: of a token with that scope, or of the operator.
pub trait Manages: Right {}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $needed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl Right for $name {
            const NEEDED: Option<Scope> = $needed;
        }
    )*};
}

rights! {
    /// Manage webhooks, read and replay deliveries.
    Webhooks = Some(Scope::Webhooks);
    /// Publish; read events and tasks.
    Events = Some(Scope::Events);
    /// Everything, in every account.
    Operator = Some(Scope::Operator);
    /// Anything that a token of any scope may do.
    AnyScope = None;
}

impl Manages for Webhooks {}
impl Manages for Operator {}

/// The right by which a request acts, and the accounts that it may see. Only a [`Caller`] gives it, and only the store
/// makes a caller. The command line has a right of its own: its user can read and write the file anyway.
#[derive(Debug, Clone)]
pub struct Access<S> {
    /// `None`: the command line.
    caller: Option<Caller>,
    actor: Actor,
    visible: Visible,
    right: PhantomData<S>,
}

impl<S: Right> Access<S> {
    /// The access of a caller to the routes of a vendor; without a vendor, to everything that the caller's token
    /// reaches.
    ///
    /// # Errors
    /// [`Forbidden`](crate::error::Error::Forbidden) for a token of another vendor, or without the scope.
    pub fn new(caller: Caller, vendor: Option<&'static str>) -> Result<Self> {
        let (grant, visible) = match vendor {
            Some(vendor) => caller.visible_for(vendor, S::NEEDED)?,
            None => caller.visible_everywhere(S::NEEDED)?,
        };
        Ok(Self { caller: Some(caller), actor: grant.into(), visible, right: PhantomData })
    }

    /// The access of a user with a shell on the machine, who may do everything in every account.
    pub fn of_command_line() -> Self {
        Self { caller: None, actor: Actor::CommandLine, visible: Visible::EVERYTHING, right: PhantomData }
    }

    /// The id of the account that a request acts for: the token's own, or the one that the request names in this field.
    ///
    /// # Errors
    /// As [`Caller::acts_for`].
    pub fn acts_for(&self, named: Option<&str>, field: &str) -> Result<String> {
        match (&self.caller, named) {
            (Some(caller), _) => caller.acts_for(named, field).map(str::to_owned),
            (None, Some(named)) => Ok(named.to_owned()),
            (None, None) => Err(Error::request(format!("{field} is missing"))),
        }
    }

    /// Whether the caller is the operator, or has a shell on the machine.
    pub fn is_operator(&self) -> bool {
        self.caller.as_ref().is_none_or(Caller::is_operator)
    }

    /// Who acts. Each transaction checks the grant of a request again.
    pub(super) fn actor(&self) -> Actor {
        self.actor
    }

    /// The accounts that it may see.
    pub fn visible(&self) -> &Visible {
        &self.visible
    }

    /// The same right with less that is visible.
    pub(super) fn within(&self, visible: Visible) -> Self {
        Self { visible, ..self.clone() }
    }
}
