//! `/operator/tokens`.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{MadeToken, TokenInput, TokenPage},
};
use crate::{
    api::openapi::{
        Body, Printed, Refused, SecretText,
        refusals::{Json, NoAccount, NoToken, Token},
    },
    app::{Access, App, Operator, PageRequest, tokens},
    domain::token::{Scope, Scopes},
    error::{Error, Result},
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Made {
    /// The token is made. Only this answer shows it.
    #[oai(status = 201)]
    Created(Printed<MadeToken>),
}

#[derive(ApiResponse)]
enum Revoked {
    /// The token is revoked: it is refused from now on.
    #[oai(status = 204)]
    Gone,
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/tokens")]
impl Routes {
    /// List tokens
    ///
    /// Lists every token that is not revoked, expired ones included, in the order in which they were made. It changes
    /// nothing. The tokens themselves are not shown. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listTokens")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Only tokens of this account.
        account_id: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<TokenPage>, Refused<Errors, (Token, NoAccount)>> {
        let page = PageRequest::asked(limit.0, cursor.0);
        Ok(Body(app.tokens(&access, account_id.0, page).await?.into()))
    }

    /// Make a token
    ///
    /// Makes a token. It adds the token, which works at once and until it is revoked or expires. Give `account_id` for
    /// a token of that account, or `profile` for a token of that platform, which reaches all accounts of the profile.
    /// Give neither for an operator's token, with the scope `operator`. With `expires_in` it is refused after that
    /// time. Only this answer shows the token. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "createToken")]
    async fn create(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<TokenInput>,
    ) -> Result<Made, Refused<Errors, (Token, Json, NoAccount)>> {
        let TokenInput { account_id, profile, scopes, label, expires_in } = body.0;
        let scopes: Vec<&str> = scopes.into_iter().map(|scope| Scope::from(scope).name()).collect();
        let scopes =
            Scopes::parse(&scopes.join(",")).map_err(|_| Error::request("scopes is empty: name at least one"))?;
        let new = tokens::NewToken::new(app.profiles(), (account_id, profile.as_deref()), scopes, label)?;
        let made = app.create_token(&access, new.lasting(expires_in.map(Duration::from_secs))?).await?;
        Ok(Made::Created(Printed::of(&MadeToken {
            token_id: made.id.to_string(),
            token: SecretText::from(&made.token),
            expires_at: made.expires_at.map(|at| at.to_string()),
        })?))
    }

    /// Revoke a token
    ///
    /// Revokes a token. It ends the token for good, also for requests under way: it is refused at once. Recoveries that
    /// it started go on; cancel them if necessary. Needs the scope `operator`.
    #[oai(path = "/:token_id", method = "delete", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The token's id, `tok_...`.
        token_id: Path<String>,
    ) -> Result<Revoked, Refused<Errors, (Token, NoToken)>> {
        app.revoke_token(&access, &token_id.0).await?;
        Ok(Revoked::Gone)
    }
}
