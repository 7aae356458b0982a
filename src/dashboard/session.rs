//! The beginning and the end of a session: the pages to sign in and to sign out.

use askama::Template;
use poem::{
    IntoResponse, Request, Response, Result, handler,
    http::{HeaderMap, StatusCode, header},
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    assets::Assets,
    fields::Fields,
    render::{self, go},
    state::Shared,
    visit::{COOKIE, Visit, asked, by_tls, check_origin, cookie},
};
use crate::{
    domain::{
        ids::TokenId,
        session::{LASTS, SessionKey},
    },
    error::{Error, Missing},
    http::rate_limit::RateLimit,
};

/// Failed sign-ins share one rate limit: people with a token do not wait for those who guess.
const GUESSES: [u8; 16] = [0; 16];

/// The cookie of a session, or the one that removes it. A browser that came by TLS never sends it without TLS.
fn set_cookie(value: &str, seconds: u64, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/ui; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The page that a browser asked for before it had to sign in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct From {
    next: Option<String>,
    /// Sent by an open page whose session has ended.
    ended: Option<String>,
}

impl From {
    /// The page to go to: one of the dashboard's own.
    fn page(&self) -> &str {
        let is_own = |next: &&str| next.starts_with("/ui/") && !next.contains("//") && !next.contains(char::is_control);
        self.next.as_deref().filter(is_own).unwrap_or("/ui")
    }
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/dashboard/askama.toml")]
struct SignIn<'a> {
    assets: &'a Assets,
    next: &'a str,
    /// Whether an earlier session has ended.
    ended: bool,
    problem: Option<String>,
}

#[handler]
pub(super) fn sign_in(request: &Request, shared: Data<&Shared>, from: Query<From>) -> Result<Response> {
    let was_in = cookie(request.headers()).is_some() || from.ended.is_some();
    let ended = was_in && request.data::<Visit>().is_none();
    render::page(&SignIn { assets: &shared.assets, next: from.page(), ended, problem: None })
}

/// Takes a token, and begins a session.
#[handler]
pub(super) async fn enter(request: &Request, shared: Data<&Shared>, fields: Fields) -> Result<Response> {
    let from = From { next: fields.get("next").map(str::to_owned), ended: None };
    check_origin(request.headers())?;
    let former = cookie(request.headers());
    match begin(&shared, fields.get("token").unwrap_or_default(), former.as_ref()).await {
        Ok(key) => {
            let cookie = begun(&shared, request.headers(), &key);
            Ok(go(from.page()).with_header(header::SET_COOKIE, cookie).into_response())
        }
        Err(error @ (Error::Unauthorized(_) | Error::TooMany { .. })) => {
            let problem = Some(error.to_string());
            let page = SignIn { assets: &shared.assets, next: from.page(), ended: false, problem };
            render::page_with(&page, Some(error))
        }
        Err(error) => Err(error.into()),
    }
}

/// The cookie of a session that has begun.
pub(super) fn begun(shared: &Shared, headers: &HeaderMap, key: &SessionKey) -> String {
    set_cookie(&key.expose(), LASTS.as_secs(), shared.secure || by_tls(headers))
}

/// Takes one guess from the rate limit that all who guess share.
pub(super) fn spend_guess(shared: &Shared) -> Result<(), Error> {
    spend(&shared.quota, TokenId::from_bytes(GUESSES))
}

/// Begins a session; the one that this browser had ends.
async fn begin(shared: &Shared, token: &str, former: Option<&SessionKey>) -> Result<SessionKey, Error> {
    let unknown = || {
        let refused = spend_guess(shared).err();
        let message = "this token is unknown or revoked: copy the whole of it, from ngm_ to its end, or make a new one";
        refused.unwrap_or_else(|| Error::Unauthorized(message.to_owned()))
    };
    let found = match shared.app.caller_of_token(token) {
        Err(expired @ Error::Unauthorized(_)) => return Err(spend_guess(shared).err().unwrap_or(expired)),
        found => found?,
    };
    let caller = found.ok_or_else(unknown)?;
    spend(&shared.quota, caller.token)?;
    let begun = shared.app.begin_session(&caller, former).await;
    begun.map_err(|error| if error == Error::NotFound(Missing::Token) { unknown() } else { error })
}

/// Takes one request from a token's rate limit.
pub(super) fn spend(quota: &RateLimit, token: TokenId) -> Result<(), Error> {
    quota.take(token).outcome
}

#[handler]
pub(super) async fn sign_out(request: &Request, shared: Data<&Shared>, visit: Visit) -> Result<Response> {
    shared.app.end_session(&visit.caller, visit.key()).await?;
    let cookie = set_cookie("", 0, shared.secure || by_tls(request.headers()));
    Ok(go("/ui/sign-in").with_header(header::SET_COOKIE, cookie).into_response())
}

/// Leads to the page that asks for a token, and from there back.
pub(super) fn to_sign_in(request: &Request) -> Response {
    let headers = request.headers();
    let from_elsewhere = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if from_elsewhere && request.method().is_safe() && cookie(headers).is_none() {
        // After a link in a mail, the browser sends the cookie only when a page of ours asks.
        let page = "<!doctype html><meta http-equiv=\"refresh\" content=\"0\"><title>Ngoma</title>";
        return Response::builder().content_type(render::HTML).body(page);
    }
    let next = if request.method().is_safe() { asked(request) } else { "/ui" };
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    go(&format!("/ui/sign-in?next={next}")).with_status(StatusCode::SEE_OTHER).into_response()
}
