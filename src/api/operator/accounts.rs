//! `/operator/accounts`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, Tag, bad_cursor, page_size, walls,
    wire::{Account, AccountPage, NewAccount},
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Authenticated, Body, Refused, WithBody, WithoutBody},
    },
    domain::{account, excerpt::excerpt},
    error::{Error, Result},
    store::{Admission, Tx, accounts},
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Made {
    /// Made.
    #[oai(status = 201)]
    Created(Body<Account>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/accounts")]
impl Routes {
    /// List accounts
    ///
    /// Every tenant of every vendor, in the order they were made. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAccounts")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AccountPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), limit) = (walls(&auth)?, page_size(limit.0, &deps.limits)?);
        let look = deps.db.read_as(grant, move |view| accounts::page(view, &walls, cursor.0.as_deref(), limit + 1));
        let mut accounts = look.await.map_err(|error| match error {
            Error::NotFound(_) => bad_cursor(),
            error => error,
        })?;
        let more = accounts.len() > limit;
        accounts.truncate(limit);
        Ok(Body(AccountPage {
            next_cursor: accounts.last().filter(|_| more).map(|account| account.id.clone()),
            accounts: accounts.iter().map(Account::from).collect(),
        }))
    }

    /// Make an account
    ///
    /// A tenant of one vendor. Its id is unique over all vendors. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "createAccount")]
    async fn create(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewAccount>,
    ) -> Result<Made, Refused<Errors, WithBody>> {
        let (grant, walls) = walls(&auth)?;
        let NewAccount { account_id, profile, alert_email } = body.0;
        account::check_id(&account_id)?;
        alert_email.as_deref().map(account::check_email).transpose()?;
        let profile = known(&deps, &profile)?;
        let id = account_id.clone();
        let create = move |tx: &Tx<'_>| accounts::create(tx, profile, &id, alert_email.as_deref());
        deps.db.write(grant, Admission::Try, create).await?;
        let made = deps.db.read_as(grant, move |view| accounts::see(view, &walls, &account_id)).await?;
        Ok(Made::Created(Body(Account::from(&made))))
    }

    /// Look at an account
    ///
    /// Needs the scope `operator`.
    #[oai(path = "/:account_id", method = "get", operation_id = "getAccount")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The account's id.
        account_id: Path<String>,
    ) -> Result<Body<Account>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = walls(&auth)?;
        let found = deps.db.read_as(grant, move |view| accounts::see(view, &walls, &account_id.0)).await?;
        Ok(Body(Account::from(&found)))
    }
}

/// The profile of this name.
pub(crate) fn known(deps: &Deps, name: &str) -> Result<&'static str> {
    let known = || deps.profiles.iter().map(|profile| profile.name).collect::<Vec<_>>().join(" or ");
    deps.profiles
        .get(name)
        .map(|profile| profile.name)
        .ok_or_else(|| Error::request(format!("profile '{}' is unknown: expected {}", excerpt(name), known())))
}
