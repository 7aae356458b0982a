//! The right by which a request acts, as a value. Every method of [`App`](super::App) that reads or writes for a
//! request takes it. Health and metrics take none.
//!
//! The type says which scope a token must have. A handler takes an `Access` from its request and hands it on. A handler
//! that forgets it has nothing to hand on, and does not compile.

use std::marker::PhantomData;

use crate::{
    domain::{
        grant::Grant,
        ids::TokenId,
        token::{Caller, Scope, Visible},
    },
    error::Result,
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
/// makes a caller.
#[derive(Debug, Clone)]
pub struct Access<S> {
    caller: Caller,
    grant: Grant,
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
        Ok(Self { caller, grant, visible, right: PhantomData })
    }

    /// The id of the account that a request acts for: the token's own, or the one that the request names in this field.
    ///
    /// # Errors
    /// As [`Caller::acts_for`].
    pub fn acts_for(&self, named: Option<&str>, field: &str) -> Result<String> {
        self.caller.acts_for(named, field).map(str::to_owned)
    }

    /// Whether the caller is the operator.
    pub fn is_operator(&self) -> bool {
        self.caller.is_operator()
    }

    /// The caller's token.
    pub fn token(&self) -> TokenId {
        self.caller.token
    }

    /// The grant, which each transaction checks again.
    pub(super) fn grant(&self) -> Grant {
        self.grant
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
