//! One account: its webhooks, tokens and sessions, its alert address, a link for its people, and its end. For the
//! operator.

use std::{sync::Arc, time::Duration};

use askama::Template;
use data_encoding::HEXLOWER;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    accounts::{Choice, TokenRow, scopes, validities},
    fields::Fields,
    form_once::{Outcome, Shown},
    format::{Moment, long_span, thousands},
    frame::{Frame, Said},
    query_string::account_page,
    render::{self, go},
    state::Shared,
    views::WebhookRow,
    visit::Allowed,
};
use crate::{
    app::{Operator, PageRequest, accounts::Extent, sign_in_links::OpenSession, webhooks::WebhookFilter},
    domain::session::LASTS,
    error::Error,
};

/// Webhooks and tokens on the page.
const SHOWN: usize = 20;
/// The times of a sign-in link that the form offers, in seconds.
const TIMES: [u64; 3] = [900, 3600, 86_400];

struct SessionRow {
    mark: String,
    token: String,
    label: String,
    begun: Moment,
    ends: Moment,
}

impl SessionRow {
    fn new(frame: &Frame<'_>, session: OpenSession) -> Self {
        Self {
            mark: HEXLOWER.encode(&session.mark),
            token: session.token.to_string(),
            label: session.label.unwrap_or_default(),
            begun: frame.when(session.ends_at - LASTS),
            ends: frame.when(session.ends_at),
        }
    }
}

#[derive(Template)]
#[template(path = "account.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    vendor: &'static str,
    made: Moment,
    mail: String,
    /// Where its notices go.
    notices: String,
    /// Whether there is a mail server.
    mails: bool,
    webhooks: Vec<WebhookRow>,
    more_webhooks: bool,
    tokens: Vec<TokenRow>,
    more_tokens: bool,
    scopes: Vec<Choice>,
    validities: Vec<(u64, String, bool)>,
    sessions: Vec<SessionRow>,
    /// Seconds, and the same in words.
    times: Vec<(u64, String)>,
    problem: Option<String>,
}

#[handler]
pub(super) async fn show(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    id: Path<String>,
    said: Query<Said>,
) -> Result<Response> {
    show_with(&shared, &visit, &id, &said, None).await
}

/// The page, with the reason if a form was refused.
async fn show_with(
    shared: &Shared,
    visit: &Allowed<Operator>,
    id: &str,
    said: &Said,
    refused: Option<(Error, Option<String>)>,
) -> Result<Response> {
    let (app, page) = (&shared.app, || PageRequest::of(SHOWN, ""));
    let account = app.account(&visit.access, id).await?;
    let filter = WebhookFilter { account: Some(account.id.clone()), ..WebhookFilter::default() };
    let webhooks = app.webhook_reports(&visit.access, filter, page()).await?;
    let tokens = app.tokens(&visit.access, Some(account.id.clone()), page()).await?;
    let sessions = app.sessions(&visit.access, id).await?;
    let frame = Frame::new(shared, visit, "/ui/accounts").saying(said);
    let (refused, typed) = refused.unzip();
    let row = |report| WebhookRow::new(shared, &frame, report);
    let page = Page {
        vendor: shared.dialect(&account.profile)?.title,
        made: frame.when(account.created_at),
        mail: typed.flatten().or(account.alert_email).unwrap_or_default(),
        notices: account.alerts_url.unwrap_or_default(),
        mails: app.mails(),
        more_webhooks: webhooks.next.is_some(),
        webhooks: webhooks.items.iter().map(row).collect::<Result<_, _>>()?,
        more_tokens: tokens.next.is_some(),
        tokens: tokens
            .items
            .iter()
            .map(|token| TokenRow::new(shared, &frame, visit, token))
            .collect::<Result<_, _>>()?,
        scopes: scopes(None),
        validities: validities(None),
        sessions: sessions.into_iter().map(|session| SessionRow::new(&frame, session)).collect(),
        times: TIMES.map(|seconds| (seconds, long_span(Duration::from_secs(seconds)))).into(),
        problem: refused.as_ref().map(ToString::to_string),
        id: account.id,
        frame,
    };
    render::page_with(&page, refused)
}

/// Does the work of a button. The next page shows the result, by [`Said`].
#[handler]
pub(super) async fn act(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    path: Path<(String, String)>,
    fields: Fields,
) -> Result<Response> {
    let Path((id, verb)) = path;
    let typed = fields.get("mail").map(str::to_owned);
    let done = match verb.as_str() {
        "mail" => {
            let set = shared.app.set_alert_email(&visit.access, &id, typed.clone()).await;
            set.map(|()| if typed.is_some() { "mail-set" } else { "mail-none" })
        }
        "test-mail" => test_mail(&shared, &visit, &id).await.map(|()| "mailed"),
        "end" => end(&shared, &visit, &id, &fields).await.map(|()| "session-ended"),
        "notices" => {
            let set = || set_notices(&shared, &visit, &id, &fields);
            return match shared.made.once(&visit, &fields, set).await {
                Err(why @ Error::Invalid { .. }) => {
                    show_with(&shared, &visit, &id, &Said::default(), Some((why, None))).await
                }
                made => Ok(made?),
            };
        }
        "link" => return Ok(shared.made.once(&visit, &fields, || make_link(&shared, &visit, &id, &fields)).await?),
        _ => return Err(poem::error::NotFoundError.into()),
    };
    match done {
        Ok(said) => Ok(go(&format!("{}?said={said}", account_page(&id)))),
        Err(why @ (Error::Invalid { .. } | Error::Unavailable(_))) => {
            show_with(&shared, &visit, &id, &Said::default(), Some((why, typed))).await
        }
        Err(why) => Err(why.into()),
    }
}

/// Changes where its notices go. Only this page shows the new secret.
async fn set_notices(shared: &Shared, visit: &Allowed<Operator>, id: &str, fields: &Fields) -> Result<Outcome, Error> {
    let url = fields.get("notices").map(str::to_owned);
    let secret = shared.app.set_alerts_url(&visit.access, id, url.clone()).await?;
    Ok(Outcome::Shown(Arc::new(Shown {
        title: if secret.is_some() { "The notices have a new place" } else { "No notices are sent" },
        about: match url {
            Some(url) => format!("Notices about the webhooks of {id} go to {url}, signed with this secret."),
            None => format!("Notices about the webhooks of {id} go nowhere."),
        },
        secrets: secret.map(|secret| ("Signing secret", secret.expose().to_owned().into())).into_iter().collect(),
        next: account_page(id),
    })))
}

/// Sends a test to the account's alert address.
async fn test_mail(shared: &Shared, visit: &Allowed<Operator>, id: &str) -> Result<(), Error> {
    let account = shared.app.account(&visit.access, id).await?;
    let to = account.alert_email.ok_or_else(|| Error::request("this account has no alert address: enter one first"))?;
    shared.app.test_mail(&visit.access, &to).await
}

async fn end(shared: &Shared, visit: &Allowed<Operator>, id: &str, fields: &Fields) -> Result<(), Error> {
    let mark = HEXLOWER.decode(fields.need("session", "the session")?.as_bytes()).ok();
    let mark = mark.and_then(|mark| mark.try_into().ok()).ok_or_else(|| Error::request("no session has this mark"))?;
    shared.app.end_session_of(&visit.access, id, mark).await
}

/// Makes a sign-in link. Only this page shows it.
async fn make_link(shared: &Shared, visit: &Allowed<Operator>, id: &str, fields: &Fields) -> Result<Outcome, Error> {
    let lasts = fields.need("lasts", "how long the link lasts")?.parse();
    let lasts = Duration::from_secs(lasts.map_err(|_| Error::request("how long the link lasts is no number"))?);
    let made = shared.app.make_sign_in_link(&visit.access, id, lasts).await?;
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The sign-in link is made",
        about: format!(
            "It opens the dashboard of {id} once, within {}. Send it to one of the account's people.",
            long_span(lasts)
        ),
        secrets: vec![("Sign-in link", shared.app.sign_in_address(&made.key))],
        next: account_page(id),
    })))
}

#[derive(Template)]
#[template(path = "account_delete.html", config = "src/dashboard/askama.toml")]
struct Count<'a> {
    frame: Frame<'a>,
    id: &'a str,
    /// The kinds of erased rows, with their counts.
    parts: [(&'static str, String); 4],
}

/// The page with the size of the account, which erases it.
#[handler]
pub(super) async fn ask(shared: Data<&Shared>, visit: Allowed<Operator>, id: Path<String>) -> Result<Response> {
    let Extent { webhooks, tokens, events, deliveries, .. } = shared.app.extent(&visit.access, &id).await?;
    let parts = [("Webhooks", webhooks), ("Tokens", tokens), ("Events", events), ("Deliveries", deliveries)];
    let frame = Frame::new(&shared, &visit, "/ui/accounts");
    render::page(&Count { frame, id: &id, parts: parts.map(|(what, number)| (what, thousands(number))) })
}

#[handler]
pub(super) async fn erase(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    id: Path<String>,
    _fields: Fields,
) -> Result<Response> {
    shared.app.erase_account(&visit.access, &id).await?;
    Ok(go("/ui/accounts?said=erased"))
}
