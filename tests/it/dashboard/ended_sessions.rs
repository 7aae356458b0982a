//! The dashboard's forms and pages that are under way while their session ends: each is refused, and writes nothing.

use std::collections::BTreeSet;

use crate::support::{
    browser::{Browser, hidden},
    held_request::{HeldRequest, Loss, answer, newest_token, refused},
    operations::Resources,
    receiver::Receiver,
    world::{COOP, Holder, OTHER_COOP, Wish, World},
};

/// Every form of the templates, with the fields that a person fills in; `{}` is an id. A new form needs a new line.
const FORMS: &[(&str, &[(&str, &str)])] = &[
    ("/ui/accounts", &[("id", "COOP-NEW"), ("vendor", "asilichain")]),
    ("/ui/accounts/{}/delete", &[]),
    ("/ui/accounts/{}/end", &[("session", "0011223344556677")]),
    ("/ui/accounts/{}/link", &[("lasts", "900")]),
    ("/ui/accounts/{}/mail", &[("mail", "night@coop.example")]),
    ("/ui/accounts/{}/notices", &[("notices", "http://127.0.0.1:9/")]),
    ("/ui/accounts/{}/test-mail", &[]),
    ("/ui/alerts/test-mail", &[("to", "ops@coop.example")]),
    ("/ui/deliveries/replay", &[]),
    ("/ui/deliveries/{}/cancel", &[]),
    ("/ui/deliveries/{}/check", &[("signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]),
    ("/ui/deliveries/{}/replay", &[]),
    ("/ui/recoveries/{}/cancel", &[]),
    ("/ui/recover", &[("matched", "1"), ("to", "2027-01-01")]),
    ("/ui/enter", &[]),
    (
        "/ui/new-account",
        &[("id", "COOP-NEWER"), ("vendor", "asilichain"), ("url", "http://127.0.0.1:9/"), ("every", "yes")],
    ),
    ("/ui/sign-in", &[]),
    ("/ui/sign-out", &[]),
    ("/ui/system/backup", &[]),
    ("/ui/system/test-channel", &[("channel", "slack")]),
    ("/ui/tokens", &[("holder", COOP), ("scope", "events")]),
    ("/ui/tokens/{}/revoke", &[]),
    ("/ui/webhooks/new", &[("account", COOP), ("url", "http://127.0.0.1:9/"), ("every", "yes")]),
    ("/ui/webhooks/{}/change", &[("url", "http://127.0.0.1:9/"), ("every", "yes")]),
    ("/ui/webhooks/{}/delete", &[]),
    ("/ui/webhooks/{}/drop", &[]),
    ("/ui/webhooks/{}/pause", &[]),
    ("/ui/webhooks/{}/resume", &[]),
    ("/ui/webhooks/{}/secret", &[]),
    ("/ui/webhooks/{}/test", &[]),
];

/// Forms that only the operator's pages have.
const OPERATORS: [&str; 13] = [
    "/ui/accounts",
    "/ui/accounts/{}/delete",
    "/ui/accounts/{}/end",
    "/ui/accounts/{}/link",
    "/ui/accounts/{}/mail",
    "/ui/accounts/{}/notices",
    "/ui/accounts/{}/test-mail",
    "/ui/alerts/test-mail",
    "/ui/new-account",
    "/ui/system/backup",
    "/ui/system/test-channel",
    "/ui/tokens",
    "/ui/tokens/{}/revoke",
];

/// Forms of people who are not signed in.
const STRANGERS: [&str; 2] = ["/ui/enter", "/ui/sign-in"];

/// Every page; `:id` is an id. A new page needs a new line.
const PAGES: [&str; 27] = [
    "/ui",
    "/ui/accounts",
    "/ui/accounts/:id",
    "/ui/accounts/:id/delete",
    "/ui/alerts",
    "/ui/audit",
    "/ui/deliveries",
    "/ui/deliveries.csv",
    "/ui/deliveries/:id",
    "/ui/deliveries/:id/body",
    "/ui/enter/:key",
    "/ui/events",
    "/ui/events/:id",
    "/ui/events/:id/body",
    "/ui/search",
    "/ui/made/:form",
    "/ui/new-account",
    "/ui/recoveries",
    "/ui/recoveries/:id",
    "/ui/recover",
    "/ui/sign-in",
    "/ui/system",
    "/ui/system/backups/:name",
    "/ui/system/backups/:name/key",
    "/ui/webhooks",
    "/ui/webhooks/:id",
    "/ui/webhooks/new",
];

/// Pages made from memory alone, which no read or write can hold; and the one behind a link, which needs no session.
const FREE: [&str; 5] = ["/ui/enter/:key", "/ui/made/:form", "/ui/new-account", "/ui/search", "/ui/sign-in"];

fn source(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard");
    std::fs::read_to_string(format!("{folder}/{name}")).expect("a text")
}

#[test]
fn every_form_and_every_page_is_among_those_that_are_held() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard")).expect("a folder");
    let names = folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let templates = names.filter(|name| name.ends_with(".html")).map(|name| source(&name));
    let mut forms = BTreeSet::new();
    for template in templates {
        for form in template.split("method=\"post\" action=\"").skip(1) {
            let action = form.split('"').next().unwrap_or_default();
            let parts = action.split('/').map(|part| if part.starts_with("{{") { "{}" } else { part });
            forms.insert(parts.collect::<Vec<_>>().join("/"));
        }
    }
    assert_eq!(forms, FORMS.iter().map(|(action, _)| (*action).to_owned()).collect());
    let routes = source("mod.rs");
    let routes = routes.split(".at(\"").skip(1).filter_map(|route| route.split_once("\", get("));
    let pages = routes.filter(|(_, shown)| !shown.starts_with("up)") && !shown.starts_with("to_accounts)"));
    let pages: BTreeSet<&str> = pages.map(|(path, _)| path).collect();
    assert_eq!(pages, PAGES.into_iter().collect());
}

/// The id that an address names.
fn filled(path: &str, resources: &Resources) -> String {
    let id: &str = match path.split('/').nth(2).unwrap_or_default() {
        "accounts" if path.ends_with("/delete") => OTHER_COOP,
        "accounts" => COOP,
        "deliveries" if path.ends_with("/cancel") => &resources.held,
        "deliveries" => &resources.delivery,
        "events" => &resources.event,
        "recoveries" => &resources.recovery,
        "tokens" => &resources.token,
        _ if path.ends_with("/drop") || path.ends_with("/resume") => &resources.paused,
        _ => &resources.webhook,
    };
    path.replace("{}", id).replace(":id", id)
}

/// A signed-in browser, and the row of its token.
fn enter(world: &World, holder: Holder, scopes: &str) -> (Browser, i64) {
    let token = world.token_for(holder, scopes);
    let key = newest_token(world);
    (Browser::with(world, &token), key)
}

fn operator(world: &World) -> (Browser, i64) {
    enter(world, Holder::Operator, "operator")
}

/// A form, filled in, as this browser sends it.
fn form(world: &World, resources: &Resources, (browser, token): &(Browser, i64), at: usize) -> HeldRequest {
    let (action, fields) = FORMS[at];
    let path = filled(action, resources);
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("form", &browser.form).extend_pairs(fields);
    if action == "/ui/deliveries/replay" {
        body.append_pair("delivery", &resources.delivery);
    }
    if action.ends_with("/secret") {
        body.extend_pairs(hidden(&browser.get(&format!("/ui/webhooks/{}", resources.webhook)).text, &path));
    }
    let (cookie, origin) = (&browser.cookie, world.address());
    HeldRequest {
        method: "POST".to_owned(),
        path,
        headers: format!(
            "Cookie: {cookie}\r\nOrigin: http://{origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        ),
        body: body.finish(),
        is_read: true,
        token: *token,
    }
}

fn with_mail(wish: &mut Wish) {
    wish.config.alerts.smtp_url = "smtp://127.0.0.1:9".to_owned().into();
    wish.config.alerts.from = "ngoma@coop.example".to_owned();
}

#[test]
fn a_form_that_was_begun_before_its_session_ended_is_refused_and_writes_nothing() {
    let world = World::with(with_mail);
    let receiver = Receiver::new();
    let resources = Resources::make(&world, &receiver, 0);
    for (at, (action, _)) in FORMS.iter().enumerate().filter(|(_, (action, _))| !STRANGERS.contains(action)) {
        for (loss, status) in
            [(Loss::SignedOut, 401), (Loss::Revoked, 401), (Loss::Expired, 401), (Loss::Unscoped("events"), 403)]
        {
            // Signing out needs no scope.
            if *action == "/ui/sign-out" && status == 403 {
                continue;
            }
            let visitor = operator(&world);
            refused(&world, &form(&world, &resources, &visitor, at), &loss, &[status]);
        }
    }
    assert!(!world.folder().join("backups").exists(), "no backup is made for a session that has ended");
}

#[test]
fn a_form_that_was_begun_for_an_account_never_reaches_another_that_is_made_under_its_name() {
    let world = World::new();
    let receiver = Receiver::new();
    for (at, (action, _)) in FORMS.iter().enumerate().filter(|(_, (action, _))| !STRANGERS.contains(action)) {
        if OPERATORS.contains(action) {
            continue;
        }
        let resources = Resources::make(&world, &receiver, at);
        let visitor = enter(&world, Holder::Account(COOP.to_owned()), "webhooks,events");
        refused(&world, &form(&world, &resources, &visitor, at), &Loss::Erased(COOP), &[401]);
    }
    for action in ["/ui/tokens", "/ui/webhooks/new"] {
        let resources = Resources::make(&world, &receiver, 0);
        let at = FORMS.iter().position(|(one, _)| *one == action).expect("a form");
        refused(&world, &form(&world, &resources, &operator(&world), at), &Loss::Erased(COOP), &[404]);
    }
}

#[test]
fn nobody_signs_in_with_a_token_that_is_revoked_before_the_form_is_there() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let request = HeldRequest {
        method: "POST".to_owned(),
        path: "/ui/sign-in".to_owned(),
        headers: "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(),
        body: format!("token={token}"),
        is_read: true,
        token: newest_token(&world),
    };
    refused(&world, &request, &Loss::Revoked, &[401]);
}

#[test]
fn a_form_that_is_held_and_loses_nothing_is_taken() {
    let world = World::new();
    let receiver = Receiver::new();
    for (at, (action, _)) in FORMS.iter().enumerate() {
        if STRANGERS.contains(action) || action.contains("/test-") {
            continue;
        }
        let resources = Resources::make(&world, &receiver, at);
        let (status, text) = answer(&world, &form(&world, &resources, &operator(&world), at), &Loss::Nothing);
        assert!(matches!(status, 200 | 303), "{action}: {text}");
        world.settle();
    }
}

#[test]
fn a_page_that_was_asked_for_before_its_session_ended_is_not_shown() {
    let world = World::new();
    let receiver = Receiver::new();
    let resources = Resources::make(&world, &receiver, 0);
    for page in PAGES.into_iter().filter(|page| !FREE.contains(page)) {
        let left = if page.starts_with("/ui/events") { "webhooks" } else { "events" };
        for loss in [Loss::SignedOut, Loss::Revoked, Loss::Unscoped(left)] {
            let (browser, token) = operator(&world);
            let request = HeldRequest {
                method: "GET".to_owned(),
                path: filled(page, &resources),
                headers: format!("Cookie: {}\r\n", browser.cookie),
                body: String::new(),
                is_read: false,
                token,
            };
            // 303 leads to signing in: the request came only when its session had ended.
            refused(&world, &request, &loss, &[401, 403, 303]);
        }
    }
}
