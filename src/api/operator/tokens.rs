//! `/operator/tokens`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    Errors, Tag,
    accounts::known,
    bad_cursor, page_size, walls,
    wire::{MadeToken, NewToken, Token, TokenPage, TokenScope},
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Authenticated, Body, Refused, SecretText, WithBody, WithoutBody},
    },
    domain::{
        ids::TokenId,
        token::{Scopes, check_label},
    },
    error::{Error, Missing, Result},
    store::{
        Admission, Tx,
        tokens::{self, Holder},
    },
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
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Only of this account.
        account_id: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<TokenPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), limit) = (walls(&auth)?, page_size(limit.0, &deps.limits)?);
        let after = cursor.0.map(|cursor| TokenId::parse(&cursor).ok_or_else(bad_cursor)).transpose()?;
        let look = deps
            .db
            .read_as(grant, move |view| tokens::page(view, &walls, account_id.0.as_deref(), after, limit + 1))
            .await;
        let mut tokens = look.map_err(|error| match error {
            Error::NotFound(Missing::Token) => bad_cursor(),
            error => error,
        })?;
        let more = tokens.len() > limit;
        tokens.truncate(limit);
        Ok(Body(TokenPage {
            next_cursor: tokens.last().filter(|_| more).map(|token| token.id.to_string()),
            tokens: tokens.iter().map(Token::from).collect(),
        }))
    }

    /// Make a token
    ///
    /// Of an account, of the platform of a vendor (`profile` alone: it reaches all of the vendor's accounts), or, with the
    /// scope `operator` and neither, of an operator. It is shown in this answer only. Needs the scope `operator`.
    #[oai(path = "/", method = "post", operation_id = "createToken")]
    async fn create(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        body: Body<NewToken>,
    ) -> Result<Made, Refused<Errors, WithBody>> {
        let (grant, _) = walls(&auth)?;
        let scopes: Vec<&str> = body.0.scopes.iter().map(|scope| TokenScope::name(*scope)).collect();
        let scopes =
            Scopes::parse(&scopes.join(",")).map_err(|_| Error::request("scopes is empty: name at least one"))?;
        let NewToken { account_id, profile, label, .. } = body.0;
        let holder = holder(&deps, account_id, profile.as_deref(), &scopes)?;
        label.as_deref().map(check_label).transpose()?;
        let create = move |tx: &Tx<'_>| tokens::create(tx, &holder, &scopes, label.as_deref());
        let (id, token) = deps.db.write(grant, Admission::Try, create).await?;
        let token = SecretText(token.expose().to_owned().into());
        Ok(Made::Created(Body(MadeToken { token_id: id.to_string(), token })))
    }

    /// Revoke a token
    ///
    /// It is refused at once, also for requests that are under way. Retry runs that it started go on: cancel them if they should
    /// not. Needs the scope `operator`.
    #[oai(path = "/:token_id", method = "delete", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The token's id, `tok_...`.
        token_id: Path<String>,
    ) -> Result<Revoked, Refused<Errors, WithoutBody>> {
        let (grant, _) = walls(&auth)?;
        let id = TokenId::parse(&token_id.0).ok_or(Error::NotFound(Missing::Token))?;
        deps.db.write(grant, Admission::Try, move |tx| tokens::revoke(tx, id)).await?;
        Ok(Revoked::Gone)
    }
}

/// Whose the new token is.
pub(crate) fn holder(deps: &Deps, account: Option<String>, profile: Option<&str>, scopes: &Scopes) -> Result<Holder> {
    match (account, profile) {
        (None, None) if scopes.is_operator() => Ok(Holder::Operator),
        (None, None) => Err(Error::request(
            "whose token? Name an account or the profile of a vendor; only a token with the scope operator needs neither",
        )),
        _ if scopes.is_operator() => {
            Err(Error::request("an operator's token reaches every account: leave out account and profile"))
        }
        (Some(_), Some(_)) => Err(Error::request("name an account or a profile, not both")),
        (Some(account), None) => Ok(Holder::Account(account)),
        (None, Some(profile)) => Ok(Holder::Platform(known(deps, profile)?.to_owned())),
    }
}
