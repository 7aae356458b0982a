//! Who there is in a world: accounts, and those who hold tokens.

use ngoma::{
    domain::token::Scopes,
    error::Error,
    store::{accounts, tokens},
};

use crate::{
    leaks,
    world::{COOP, CUSTOMER, Client, Holder, World},
};

impl World {
    pub fn account(&self, profile: &'static str, id: &str, mail: Option<&'static str>) {
        let id = id.to_owned();
        let made = self.block_on(self.db().write_in_turn(move |tx| accounts::create(tx, profile, &id, mail)));
        assert!(matches!(made, Ok(()) | Err(Error::Conflict { .. })), "{made:?}");
    }

    pub fn token_for(&self, holder: Holder, scopes: &str) -> String {
        let scopes = Scopes::parse(scopes).expect("scopes");
        let made = self.block_on(self.db().write_in_turn(move |tx| tokens::create(tx, &holder, &scopes, None)));
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
}
