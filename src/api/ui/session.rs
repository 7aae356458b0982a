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
        excerpt::excerpt,
        grant::Grant,
        ids::TokenId,
        session::{LASTS, SessionKey},
        token::{BearerToken, Caller, Reach, Scope, Walls},
    },
    error::{Error, Missing},
    store::{Admission, random, sessions, tokens},
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
    /// The page that is asked for, with its query; nothing for a form.
    pub(super) at: String,
    key: SessionKey,
}

impl Visit {
    /// The visit behind a request's cookie; `None` if there is none, or it has ended.
    ///
    /// Looked up at every request, so that revoking works at once, whichever process does it.
    pub(super) fn of(request: &Request, door: &Door) -> Result<Option<Self>, Error> {
        let Some(key) = cookie(request.headers()) else { return Ok(None) };
        let (hash, now) = (key.hash(), door.deps.clock.now());
        let caller = door.deps.db.read_inline(|view| sessions::caller(view, hash, now))?;
        let at = if request.method().is_safe() { asked(request).to_owned() } else { String::new() };
        Ok(caller.map(|caller| Self { caller, at, key }))
    }

    /// What is stored of the session's key.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.key.hash()
    }

    /// Holds a form against this session: another site's page cannot know its token, nor hide where it comes from.
    pub(super) fn check_form(&self, request: &Request, fields: &Fields) -> Result<()> {
        check_origin(request.headers())?;
        let refusal = "this form is of an earlier session, or of another page: load the page and send it again";
        if fields.get("form").is_some_and(|given| self.key.knows_form(given)) { Ok(()) } else { Err(foreign(refusal)) }
    }

    /// What every form of this session carries.
    pub(super) fn form_token(&self) -> String {
        self.key.form_token()
    }

    /// Whether it may see and do everything.
    pub(super) fn is_operator(&self) -> bool {
        self.caller.scopes.is_operator() && matches!(self.caller.reach, Reach::Everything)
    }

    /// The right and the walls of the operator; everybody else is refused.
    pub(super) fn operator(&self) -> Result<(Grant, Walls), Error> {
        let refusal = "only an operator's token opens this page: make one by 'ngoma token create --scope operator'";
        if self.is_operator() {
            self.caller.horizon(Scope::Operator)
        } else {
            Err(Error::Forbidden(refusal.to_owned()))
        }
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

/// A header; where several proxies each added to it, what the first said.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name).and_then(|value| value.to_str().ok())?;
    text.split(',').next().map(str::trim)
}

/// A form that is not taken.
fn foreign(message: impl Into<String>) -> poem::Error {
    poem::Error::from_string(message, StatusCode::FORBIDDEN)
}

/// Makes sure that a form comes from a page of this server. Browsers say so in headers that no page can set.
fn check_origin(headers: &HeaderMap) -> Result<()> {
    match header(headers, "sec-fetch-site") {
        Some("same-origin") => return Ok(()),
        Some("none") | None => {}
        Some(site) => return Err(foreign(format!("this form comes from another site (Sec-Fetch-Site: {site})"))),
    }
    let Some(origin) = header(headers, "origin") else { return Ok(()) };
    let hosts = ["host", "x-forwarded-host"].map(|name| header(headers, name));
    if origin.split_once("://").is_some_and(|(_, host)| hosts.contains(&Some(host))) {
        return Ok(());
    }
    Err(foreign(format!(
        "this form comes from {} (its header Origin), and neither Host nor X-Forwarded-Host says that this server is that: \
         if it is, let the proxy in front of it pass Host on, or send X-Forwarded-Host",
        excerpt(origin)
    )))
}

/// Whether the browser speaks TLS, with the proxy in front of this server.
fn by_tls(headers: &HeaderMap) -> bool {
    header(headers, "x-forwarded-proto").is_some_and(|value| value.eq_ignore_ascii_case("https"))
}

/// The page that a request asks for.
fn asked(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/ui", |asked| asked.as_str())
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
    /// Said by an open page whose session has ended.
    ended: Option<String>,
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
    /// A session was there, and is not any more.
    ended: bool,
    problem: Option<String>,
}

/// The page that asks for a token.
#[handler]
pub(super) fn sign_in(request: &Request, door: Data<&Door>, from: Query<From>) -> Result<Response> {
    let was_in = cookie(request.headers()).is_some() || from.ended.is_some();
    let ended = was_in && request.data::<Visit>().is_none();
    frame::page(&SignIn { assets: &door.assets, next: from.page(), ended, problem: None })
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
            let mut page = frame::page(&SignIn { assets: &door.assets, next: from.page(), ended: false, problem })?;
            page.set_status(status);
            Ok(page)
        }
        Err(error) => Err(error.into()),
    }
}

/// Begins a session; the one that this browser had ends.
async fn begin(door: &Door, token: &str, former: Option<[u8; 32]>) -> Result<SessionKey, Error> {
    let unknown = || {
        let refused = spend(&door.quota, TokenId::from_bytes(GUESSES)).err();
        let message = "this token is unknown or revoked: copy the whole of it, from ngm_ to its end, or make a new one";
        refused.unwrap_or_else(|| Error::Unauthorized(message.to_owned()))
    };
    let token = BearerToken::parse(token).ok_or_else(unknown)?;
    let caller = door.deps.db.read_inline(|view| tokens::caller(view, &token))?.ok_or_else(unknown)?;
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

/// Takes one request from a token's quota.
pub(super) fn spend(quota: &Quota, token: TokenId) -> Result<(), Error> {
    quota.spend(token).outcome
}

/// Ends the session.
#[handler]
pub(super) async fn sign_out(request: &Request, door: Data<&Door>, visit: Visit) -> Result<Response> {
    let hash = visit.hash();
    door.deps.db.write(visit.caller.grant(), Admission::Try, move |tx| sessions::end(tx, hash)).await?;
    let cookie = set_cookie("", 0, door.secure || by_tls(request.headers()));
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
    let next = if request.method().is_safe() { asked(request) } else { "/ui" };
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    go(&format!("/ui/sign-in?next={next}")).with_status(StatusCode::SEE_OTHER).into_response()
}
