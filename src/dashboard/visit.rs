//! Visits: the session behind a browser's cookie.

use std::ops::Deref;

use poem::{
    FromRequest, Request, RequestBody, Result,
    http::{HeaderMap, StatusCode, header},
};

use super::fields::Fields;
use crate::{
    app::{Access, App, Right},
    config::command_for_all,
    domain::{
        excerpt::excerpt,
        session::SessionKey,
        token::{Caller, Reach, Scope},
    },
    error::Error,
};

pub(super) const COOKIE: &str = "ngoma_session";

/// A request with a session.
#[derive(Clone)]
pub(super) struct Visit {
    /// The owner of the token that began the session.
    pub(super) caller: Caller,
    /// The address of the page, with its query; empty for a form.
    pub(super) at: String,
    key: SessionKey,
}

impl Visit {
    /// The visit behind a request's cookie; `None` if there is none, or it has ended.
    pub(super) fn of(request: &Request, app: &App) -> Result<Option<Self>, Error> {
        let Some(key) = cookie(request.headers()) else { return Ok(None) };
        let caller = app.caller_of_session(&key)?;
        let at = if request.method().is_safe() { asked(request).to_owned() } else { String::new() };
        Ok(caller.map(|caller| Self { caller, at, key }))
    }

    pub(super) fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Checks that a form belongs to this session. The page of another site cannot know the token, nor hide its origin.
    pub(super) fn check_form(&self, request: &Request, fields: &Fields) -> Result<()> {
        check_origin(request.headers())?;
        let refusal = "this form is of an earlier session, or of another page: load the page and send it again";
        if fields.get("form").is_some_and(|given| self.key.knows_form(given)) { Ok(()) } else { Err(foreign(refusal)) }
    }

    /// The token that every form of this session carries.
    pub(super) fn form_token(&self) -> String {
        self.key.form_token()
    }

    pub(super) fn is_operator(&self) -> bool {
        self.caller.is_operator()
    }

    /// Whether the visitor sees one account only. Pages then need not name the account.
    pub(super) fn is_of_one_account(&self) -> bool {
        matches!(self.caller.reach, Reach::Account { .. })
    }

    /// The owner of the token, in words.
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

/// A visit with the right that a page needs. The page hands on its access.
pub(super) struct Allowed<S> {
    visit: Visit,
    /// The access.
    pub(super) access: Access<S>,
}

impl<S> Deref for Allowed<S> {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.visit
    }
}

impl<'a, S: Right> FromRequest<'a> for Allowed<S> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> Result<Self> {
        let visit = Visit::from_request(request, body).await?;
        if S::NEEDED == Some(Scope::Operator) && !visit.is_operator() {
            let make = command_for_all("token create --scope operator");
            return Err(
                Error::Forbidden(format!("only an operator's token opens this page: make one by '{make}'")).into()
            );
        }
        let access = Access::new(visit.caller.clone(), None)?;
        Ok(Self { visit, access })
    }
}

/// The error for a page without a session, or whose session has ended.
fn not_signed_in() -> Error {
    Error::Unauthorized("sign in first".to_owned())
}

pub(super) fn cookie(headers: &HeaderMap) -> Option<SessionKey> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then(|| SessionKey::parse(value))?)
}

/// A header. If several proxies added to it, the value of the first.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name).and_then(|value| value.to_str().ok())?;
    text.split(',').next().map(str::trim)
}

/// The refusal of a form.
fn foreign(message: impl Into<String>) -> poem::Error {
    poem::Error::from_string(message, StatusCode::FORBIDDEN)
}

/// Checks that a form comes from a page of this server. Browsers send this in headers that no page can set.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<()> {
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
pub(super) fn by_tls(headers: &HeaderMap) -> bool {
    header(headers, "x-forwarded-proto").is_some_and(|value| value.eq_ignore_ascii_case("https"))
}

/// The page that a request asks for.
pub(super) fn asked(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/ui", |asked| asked.as_str())
}
