//! Who is looking: the session behind a browser's cookie, and its beginning and end.

use askama::Template;
use poem::{
    FromRequest, IntoResponse, Request, RequestBody, Response, Result, handler,
    http::{HeaderMap, StatusCode, header},
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    Door,
    fields::Fields,
    frame::{self, Assets, go},
};
use crate::{
    api::quota::Quota,
    domain::{
        ids::TokenId,
        session::{LASTS, SessionKey},
        token::{BearerToken, Caller, Reach},
    },
    error::{Error, Missing},
    store::{random, sessions, tokens},
};

/// The cookie's name.
const COOKIE: &str = "ngoma_session";
/// Failed sign-ins share one quota: nobody who has a token waits for those who guess.
const GUESSES: [u8; 16] = [0; 16];

/// A request of somebody who is signed in.
#[derive(Clone)]
pub(super) struct Visit {
    /// Whose token was shown.
    pub(super) caller: Caller,
    key: SessionKey,
}

impl Visit {
    /// The visit behind a request's cookie; `None` if there is none, or it has ended.
    ///
    /// Looked up at every request, so that revoking works at once, whichever process does it.
    pub(super) fn of(request: &Request, door: &Door) -> Result<Option<Self>, Error> {
        let Some(key) = cookie(request.headers()) else { return Ok(None) };
        let (hash, now) = (key.hash(), door.deps.clock.now());
        let caller = door.deps.db.glance(|view| sessions::caller(view, hash, now))?;
        Ok(caller.map(|caller| Self { caller, key }))
    }

    /// Holds a form against this session: another site's page cannot know its token, nor hide where it comes from.
    pub(super) fn check_form(&self, request: &Request, fields: &Fields) -> Result<(), Error> {
        let own = is_own(request.headers()) && fields.get("form").is_some_and(|given| self.key.knows_form(given));
        let refusal =
            "this form did not come from this dashboard, or is of an earlier session: load the page and send it again";
        if own { Ok(()) } else { Err(Error::Forbidden(refusal.to_owned())) }
    }

    /// What every form of this session carries.
    pub(super) fn form_token(&self) -> String {
        self.key.form_token()
    }

    /// Whether it may see and do everything.
    pub(super) fn is_operator(&self) -> bool {
        self.caller.scopes.is_operator() && matches!(self.caller.reach, Reach::Everything)
    }

    /// Refuses everybody but the operator.
    pub(super) fn operator(&self) -> Result<(), Error> {
        let refusal = "only an operator's token opens this page: make one by 'ngoma token create --scope operator'";
        if self.is_operator() { Ok(()) } else { Err(Error::Forbidden(refusal.to_owned())) }
    }

    /// Whom the token belongs to.
    pub(super) fn who(&self) -> String {
        match &self.caller.reach {
            Reach::Account { id, .. } => id.clone(),
            Reach::Platform(profile) => format!("platform {profile}"),
            Reach::Everything => "operator".to_owned(),
        }
    }
}

impl<'a> FromRequest<'a> for Visit {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().cloned().ok_or_else(not_signed_in)?)
    }
}

/// Nobody is signed in, or not any more.
pub(super) fn not_signed_in() -> Error {
    Error::Unauthorized("sign in first".to_owned())
}

fn cookie(headers: &HeaderMap) -> Option<SessionKey> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then(|| SessionKey::parse(value))?)
}

/// Whether a form comes from a page of this server. Browsers say so in headers that no page can set.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let hosts = [text("host"), text("x-forwarded-host")];
    let from_here = |origin: &str| origin.split_once("://").is_some_and(|(_, host)| hosts.contains(&Some(host)));
    text("origin").is_none_or(from_here)
        && text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
}

/// Whether the browser speaks TLS, with the proxy in front of this server.
fn by_tls(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The cookie of a session, or one that takes it away. A browser that came by TLS never sends it without.
fn set_cookie(value: &str, seconds: u64, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/ui; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Where a page was left for signing in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct From {
    next: Option<String>,
}

impl From {
    /// The page to go to: one of the dashboard's own.
    fn page(&self) -> &str {
        self.next.as_deref().filter(|next| next.starts_with("/ui/") && !next.contains("//")).unwrap_or("/ui")
    }
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/api/ui/askama.toml")]
struct SignIn<'a> {
    assets: &'a Assets,
    next: &'a str,
    problem: Option<String>,
}

/// The page that asks for a token.
#[handler]
pub(super) fn sign_in(door: Data<&Door>, from: Query<From>) -> Result<Response> {
    frame::page(&SignIn { assets: &door.assets, next: from.page(), problem: None })
}

/// Takes a token, and begins a session.
#[handler]
pub(super) async fn enter(request: &Request, door: Data<&Door>, fields: Fields) -> Result<Response> {
    let from = From { next: fields.get("next").map(str::to_owned) };
    let entered = if is_own(request.headers()) {
        begin(&door, fields.get("token").unwrap_or_default()).await
    } else {
        Err(Error::Forbidden("this form did not come from this dashboard: load the page and send it again".to_owned()))
    };
    match entered {
        Ok(key) => {
            let cookie = set_cookie(&key.expose(), LASTS.as_secs(), by_tls(request.headers()));
            Ok(go(from.page()).with_header(header::SET_COOKIE, cookie).into_response())
        }
        Err(error @ (Error::Unauthorized(_) | Error::TooMany(_) | Error::Forbidden(_))) => {
            let status = poem::Error::from(error.clone()).status();
            let mut page =
                frame::page(&SignIn { assets: &door.assets, next: from.page(), problem: Some(error.to_string()) })?;
            page.set_status(status);
            Ok(page)
        }
        Err(error) => Err(error.into()),
    }
}

async fn begin(door: &Door, token: &str) -> Result<SessionKey, Error> {
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
    let begun = door.deps.db.write(move |tx| {
        tokens::used(tx, caller.token)?;
        sessions::begin(tx, caller.token, hash, LASTS)
    });
    begun.await.map_err(|error| if error == Error::NotFound(Missing::Token) { unknown() } else { error })?;
    Ok(key)
}

/// Takes one request from a token's quota.
pub(super) fn spend(quota: &Quota, token: TokenId) -> Result<(), Error> {
    quota.spend(token).outcome
}

/// Ends the session.
#[handler]
pub(super) async fn sign_out(request: &Request, door: Data<&Door>, visit: Visit) -> Result<Response> {
    let hash = visit.key.hash();
    door.deps.db.write(move |tx| sessions::end(tx, hash)).await?;
    let cookie = set_cookie("", 0, by_tls(request.headers()));
    Ok(go("/ui/sign-in").with_header(header::SET_COOKIE, cookie).into_response())
}

/// To the page that asks for a token, and from there back here.
pub(super) fn to_sign_in(request: &Request) -> Response {
    let headers = request.headers();
    let from_elsewhere = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if from_elsewhere && request.method().is_safe() && cookie(headers).is_none() {
        // A link in a mail: the browser keeps the cookie back until a page of ours asks.
        let page = "<!doctype html><meta http-equiv=\"refresh\" content=\"0\"><title>Ngoma</title>";
        return Response::builder().content_type(frame::HTML).body(page);
    }
    let asked = request.uri().path_and_query().map_or("/ui", |asked| asked.as_str());
    let next = if request.method().is_safe() { asked } else { "/ui" };
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    go(&format!("/ui/sign-in?next={next}")).with_status(StatusCode::SEE_OTHER).into_response()
}
