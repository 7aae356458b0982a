//! The beginning and the end of a session: the pages to sign in and to sign out.

use askama::Template;
use poem::{
    IntoResponse, Request, Response, Result, handler,
    http::{StatusCode, header},
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    assets::Assets,
    fields::Fields,
    render::{self, go},
    state::Door,
    visit::{COOKIE, Visit, asked, by_tls, check_origin, cookie},
};
use crate::{
    domain::{
        ids::TokenId,
        session::{LASTS, SessionKey},
        token::BearerToken,
    },
    error::{Error, Missing},
    http::rate_limit::RateLimit,
    store::{Admission, random, sessions, tokens},
};

/// Failed sign-ins share one rate limit: people with a token do not wait for those who guess.
const GUESSES: [u8; 16] = [0; 16];

/// The cookie of a session, or the one that removes it. A browser that came by TLS never sends it without TLS.
fn set_cookie(value: &str, seconds: u64, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/ui; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The page that a browser wanted before it had to sign in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct From {
    next: Option<String>,
    /// Sent by an open page whose session has ended.
    ended: Option<String>,
}

impl From {
    /// The page to go to: one of the dashboard's own.
    fn page(&self) -> &str {
        self.next.as_deref().filter(|next| next.starts_with("/ui/") && !next.contains("//")).unwrap_or("/ui")
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

/// The page that asks for a token.
#[handler]
pub(super) fn sign_in(request: &Request, door: Data<&Door>, from: Query<From>) -> Result<Response> {
    let was_in = cookie(request.headers()).is_some() || from.ended.is_some();
    let ended = was_in && request.data::<Visit>().is_none();
    render::page(&SignIn { assets: &door.assets, next: from.page(), ended, problem: None })
}

/// Takes a token, and begins a session.
#[handler]
pub(super) async fn enter(request: &Request, door: Data<&Door>, fields: Fields) -> Result<Response> {
    let from = From { next: fields.get("next").map(str::to_owned), ended: None };
    check_origin(request.headers())?;
    let former = cookie(request.headers()).map(|key| key.hash());
    match begin(&door, fields.get("token").unwrap_or_default(), former).await {
        Ok(key) => {
            let cookie = set_cookie(&key.expose(), LASTS.as_secs(), door.secure || by_tls(request.headers()));
            Ok(go(from.page()).with_header(header::SET_COOKIE, cookie).into_response())
        }
        Err(error @ (Error::Unauthorized(_) | Error::TooMany { .. })) => {
            let status = poem::Error::from(error.clone()).status();
            let problem = Some(error.to_string());
            let mut page = render::page(&SignIn { assets: &door.assets, next: from.page(), ended: false, problem })?;
            page.set_status(status);
            Ok(page)
        }
        Err(error) => Err(error.into()),
    }
}

/// Begins a session; the former session of this browser ends.
async fn begin(door: &Door, token: &str, former: Option<[u8; 32]>) -> Result<SessionKey, Error> {
    let unknown = || {
        let refused = spend(&door.quota, TokenId::from_bytes(GUESSES)).err();
        let message = "this token is unknown or revoked: copy the whole of it, from ngm_ to its end, or make a new one";
        refused.unwrap_or_else(|| Error::Unauthorized(message.to_owned()))
    };
    let token = BearerToken::parse(token).ok_or_else(unknown)?;
    let caller = door.deps.db.glance(|view| tokens::caller(view, &token))?.ok_or_else(unknown)?;
    spend(&door.quota, caller.token)?;
    let key = SessionKey::from_random(&*random()?);
    let hash = key.hash();
    let begun = door.deps.db.write(caller.grant(), Admission::Try, move |tx| {
        former.map(|former| sessions::end(tx, former)).transpose()?;
        tokens::used(tx, caller.token)?;
        sessions::begin(tx, caller.token, hash, LASTS)
    });
    begun.await.map_err(|error| if error == Error::NotFound(Missing::Token) { unknown() } else { error })?;
    Ok(key)
}

/// Takes one request from a token's rate limit.
pub(super) fn spend(quota: &RateLimit, token: TokenId) -> Result<(), Error> {
    quota.take(token).outcome
}

/// Ends the session.
#[handler]
pub(super) async fn sign_out(request: &Request, door: Data<&Door>, visit: Visit) -> Result<Response> {
    let hash = visit.hash();
    door.deps.db.write(visit.caller.grant(), Admission::Try, move |tx| sessions::end(tx, hash)).await?;
    let cookie = set_cookie("", 0, door.secure || by_tls(request.headers()));
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
