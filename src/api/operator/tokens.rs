//! `/operator/tokens`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{MadeToken, NewToken, TokenPage},
};
use crate::{
    api::openapi::{Body, Refused, SecretText, WithBody, WithoutBody},
    app::{Access, App, Operator, PageRequest, tokens},
    domain::token::{Scope, Scopes},
    error::{Error, Result},
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Made {
    /// Made. This answer is the only one that shows it.
    #[oai(status = 201)]
    Created(Body<MadeToken>),
}

#[derive(ApiResponse)]
enum Revoked {
    /// Revoked: it is refused from now on.
    #[oai(status = 204)]
    Gone,
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/tokens")]
impl Routes {
    /// List tokens
    ///
    /// Every token that is not revoked, in the order they were made; never the tokens themselves. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listTokens")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Only of this account.
        account_id: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<TokenPage>, Refused<Errors, WithoutBody>> {
        let page = PageRequest::asked(limit.0, cursor.0);
        Ok(Body(app.tokens(&access, account_id.0, page).await?.into()))
    }

    /// Make a token
    ///
    /// Of an account, of the platform of a vendor (`profile` alone: it reaches all of the vendor's accounts), or, with the
    /// scope `operator` and neither, of an operator. It is shown in this answer only. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "createToken")]
    async fn create(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<NewToken>,
    ) -> Result<Made, Refused<Errors, WithBody>> {
        let NewToken { account_id, profile, scopes, label } = body.0;
        let scopes: Vec<&str> = scopes.into_iter().map(|scope| Scope::from(scope).name()).collect();
        let scopes =
            Scopes::parse(&scopes.join(",")).map_err(|_| Error::request("scopes is empty: name at least one"))?;
        let new = tokens::NewToken::new(app.profiles(), (account_id, profile.as_deref()), scopes, label)?;
        let (id, token) = app.create_token(&access, new).await?;
        Ok(Made::Created(Body(MadeToken { token_id: id.to_string(), token: SecretText::from(&token) })))
    }

    /// Revoke a token
    ///
    /// It is refused at once, also for requests that are under way. Retry runs that it started go on: cancel them if they should
    /// not. Needs the scope `operator`.
    #[oai(path = "/:token_id", method = "delete", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The token's id, `tok_...`.
        token_id: Path<String>,
    ) -> Result<Revoked, Refused<Errors, WithoutBody>> {
        app.revoke_token(&access, &token_id.0).await?;
        Ok(Revoked::Gone)
    }
}
