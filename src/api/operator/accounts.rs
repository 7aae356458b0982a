//! `/operator/accounts`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{Account, AccountInput, AccountPage, AccountUpdate, ChangedAccount},
};
use crate::{
    api::openapi::{
        Body, Refused,
        refusals::{AlreadyExists, BadUrl, Json, NoAccount, Token},
    },
    app::{Access, App, Operator, PageRequest, accounts},
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Made {
    /// The account is made.
    #[oai(status = 201)]
    Created(Body<Account>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/accounts")]
impl Routes {
    /// List accounts
    ///
    /// Lists the accounts of every profile, in the order in which they were made. It changes nothing. Needs the scope
    /// `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAccounts")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AccountPage>, Refused<Errors, Token>> {
        Ok(Body(app.accounts(&access, PageRequest::asked(limit.0, cursor.0)).await?.into()))
    }

    /// Make an account
    ///
    /// Makes an account. It adds the account to a profile, without tokens or webhooks. The id of an account is unique
    /// over all profiles. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "createAccount")]
    async fn create(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<AccountInput>,
    ) -> Result<Made, Refused<Errors, (Token, Json, AlreadyExists)>> {
        let AccountInput { account_id, profile, alert_email } = body.0;
        let new = accounts::NewAccount::new(app.profiles(), account_id, &profile, alert_email)?;
        Ok(Made::Created(Body(Account::from(&app.create_account(&access, new).await?))))
    }

    /// Get an account
    ///
    /// Shows an account. It changes nothing. Needs the scope `operator`.
    #[oai(path = "/:account_id", method = "get", operation_id = "getAccount")]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The account's id.
        account_id: Path<String>,
    ) -> Result<Body<Account>, Refused<Errors, (Token, NoAccount)>> {
        Ok(Body(Account::from(&app.account(&access, &account_id.0).await?)))
    }

    /// Change where an account's alerts and notices go
    ///
    /// Changes the e-mail address for the alerts of an account, or the URL to which notices about its webhooks are
    /// POSTed, or both. It changes where those that wait go too. A new URL gets a new secret that signs the notices; the
    /// answer shows it once. Needs the scope `operator`.
    #[oai(path = "/:account_id", method = "patch", operation_id = "changeAccount")]
    async fn change(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The account's id.
        account_id: Path<String>,
        body: Body<AccountUpdate>,
    ) -> Result<Body<ChangedAccount>, Refused<Errors, (Token, Json, NoAccount, BadUrl)>> {
        let AccountUpdate { alert_email, alerts_url } = body.0;
        let (account, secret) = app.change_account(&access, &account_id.0, alert_email, alerts_url).await?;
        Ok(Body(ChangedAccount::new(&account, secret.as_ref())))
    }
}
