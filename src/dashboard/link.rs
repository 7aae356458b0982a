//! The page behind a sign-in link. To look at it spends nothing: programs that check mails do that. Its button opens the
//! dashboard of the link's account, once.

use askama::Template;
use poem::{
    IntoResponse, Request, Response, Result, handler,
    http::header,
    web::{Data, Path},
};

use super::{
    assets::Assets,
    fields::Fields,
    render::{self, go},
    session::{begun, spend_guess},
    state::Shared,
    visit::{check_origin, cookie},
};
use crate::{
    domain::{session::SessionKey, token::Reach},
    error::Error,
};

#[derive(Template)]
#[template(path = "link.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    assets: &'a Assets,
    /// The account whose dashboard it opens; `None` if it opens nothing.
    account: Option<String>,
    key: &'a str,
}

/// The page with the button.
#[handler]
pub(super) fn look(shared: Data<&Shared>, key: Path<String>) -> Result<Response> {
    let caller = SessionKey::parse(&key).map(|key| shared.app.caller_of_link(&key)).transpose()?.flatten();
    let account = caller.and_then(|caller| match caller.reach {
        Reach::Account { id, .. } => Some(id),
        Reach::Platform(_) | Reach::Everything => None,
    });
    if account.is_none() {
        return spent(&shared);
    }
    render::page(&Page { assets: &shared.assets, account, key: &key })
}

/// The page of a link that opens nothing. Guesses of links are slowed down, as guesses of tokens are.
fn spent(shared: &Shared) -> Result<Response> {
    spend_guess(shared)?;
    let unknown = Error::Unauthorized(String::new());
    render::page_with(&Page { assets: &shared.assets, account: None, key: "" }, Some(unknown))
}

/// Opens the link: begins a session. The one that this browser had ends.
#[handler]
pub(super) async fn open(request: &Request, shared: Data<&Shared>, fields: Fields) -> Result<Response> {
    check_origin(request.headers())?;
    let Some(key) = fields.get("link").and_then(SessionKey::parse) else { return spent(&shared) };
    let former = cookie(request.headers());
    match shared.app.open_sign_in_link(&key, former.as_ref()).await {
        Ok(key) => {
            let cookie = begun(&shared, request.headers(), &key);
            Ok(go("/ui").with_header(header::SET_COOKIE, cookie).into_response())
        }
        Err(Error::Unauthorized(_)) => spent(&shared),
        Err(error) => Err(error.into()),
    }
}
