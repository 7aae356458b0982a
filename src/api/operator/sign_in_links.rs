//! `/operator/sign-in-links`.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{SignInLink, SignInLinkInput},
};
use crate::{
    api::openapi::{
        Body, Printed, Refused, SecretText,
        refusals::{Json, NoAccount, Token},
    },
    app::{Access, App, Operator, sign_in_links::USUAL},
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Made {
    /// The link is made. Only this answer shows it.
    #[oai(status = 201)]
    Created(Printed<SignInLink>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// Make a sign-in link
    ///
    /// Makes a link that opens the dashboard of one account, without a token: give it to one of the account's people.
    /// It adds the link, which opens once and within its time, and changes nothing of the account. The page behind it
    /// has a button, so that a program that only looks at the link does not spend it. The session lasts 12 hours. It
    /// may manage the webhooks of the account and read its events. Needs the scope `operator`.
    #[oai(path = "/sign-in-links", method = "post", operation_id = "createSignInLink")]
    async fn create(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        body: Body<SignInLinkInput>,
    ) -> Result<Made, Refused<Errors, (Token, Json, NoAccount)>> {
        let SignInLinkInput { account, expires_in } = body.0;
        let lasts = expires_in.map_or(USUAL, Duration::from_secs);
        let made = app.make_sign_in_link(&access, &account, lasts).await?;
        let url = SecretText(app.sign_in_address(&made.key));
        let link = SignInLink { account, url, expires_at: made.ends_at.to_string() };
        Ok(Made::Created(Printed::of(&link)?))
    }
}
