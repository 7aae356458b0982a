//! Accounts of a world, their tokens and their clients.

use ngoma::{
    domain::{audit::Actor, token::Scopes},
    error::{Error, Result},
    store::{Admission, Tx, accounts, tokens},
};

use crate::support::{
    client::Client,
    leaks,
    world::{COOP, CUSTOMER, Holder, World},
};

impl World {
    /// Writes as the server itself does.
    pub fn write<T: Send + 'static>(&self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.block_on(self.db().write(Actor::Engine, Admission::Wait, run))
    }

    pub fn account(&self, profile: &'static str, id: &str, mail: Option<&'static str>) {
        let id = id.to_owned();
        let made = self.write(move |tx| accounts::create(tx, profile, &id, mail).map(drop));
        assert!(matches!(made, Ok(()) | Err(Error::Conflict { .. })), "{made:?}");
    }

    pub fn token_for(&self, holder: Holder, scopes: &str) -> String {
        let scopes = Scopes::parse(scopes).expect("scopes");
        let made = self.write(move |tx| tokens::create(tx, &holder, &scopes, None));
        let token = made.expect("a token").1.expose().to_owned();
        leaks::secret(&token);
        token
    }

    /// A client of the cooperative.
    pub fn coop(&self) -> Client {
        self.client(&self.token_for(Holder::Account(COOP.to_owned()), "webhooks,events"))
    }

    /// A client of the ASG customer.
    pub fn customer(&self) -> Client {
        self.client(&self.token_for(Holder::Account(CUSTOMER.to_owned()), "webhooks,events"))
    }

    /// A client of the operator.
    pub fn operator(&self) -> Client {
        self.client(&self.token_for(Holder::Operator, "operator"))
    }
}
