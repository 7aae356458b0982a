//! The channels of alerts by POST: the shape that each service takes, its answers, and the test of a channel.

use std::path::PathBuf;

use ngoma::{
    config::{AlertChannel, ChannelKind, Secret},
    domain::operator_alert::About,
    store::operator_alerts,
};
use serde_json::json;

use crate::support::{
    browser::operator,
    database::make_older,
    leaks,
    mailbox::{advance, outbox, told},
    program::{finish, ngoma},
    receiver::{Post, Receiver, Reply},
    world::{COOP, World},
};

const TOKEN: &str = "12345:a-token-that-nobody-may-see";
const SECRET: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";

/// A channel of this kind with the URL.
pub fn channel(kind: ChannelKind, url: &str) -> AlertChannel {
    AlertChannel {
        kind,
        name: String::new(),
        url: Secret::from(url.to_owned()),
        secret: Secret::default(),
        token: Secret::default(),
        url_file: PathBuf::new(),
        secret_file: PathBuf::new(),
        token_file: PathBuf::new(),
        chat_id: String::new(),
        topic: String::new(),
    }
}

/// A world with these channels.
pub fn world_of(channels: Vec<AlertChannel>) -> World {
    World::with(|wish| {
        wish.config.server.public_url = "https://hooks.coop.example".to_owned();
        wish.config.alerts.channel = channels;
    })
}

/// The message of a channel of this kind about this.
fn posted(said: &'static str, make: impl FnOnce(&str) -> AlertChannel) -> Post {
    let receiver = Receiver::new();
    let world = world_of(vec![make(&receiver.url())]);
    raise(&world, said);
    receiver.only()
}

/// Raises an alert about the server.
pub fn raise(world: &World, said: &'static str) {
    world.write(move |tx| operator_alerts::raise(tx, About::Room, said)).expect("written");
    told(world);
}

const TITLE: &str = "[Ngoma] the database has reached its largest size";
const PAGE: &str = "https://hooks.coop.example/ui/system";
const SAID: &str = "It has <!channel> & 2 GB: [see *here*](https://evil.example).";
/// Title and text for a reader of Markdown, who sees no link and no formatting in them.
const PLAIN_TITLE: &str = r"\[Ngoma\] the database has reached its largest size";
const PLAIN: &str = r"It has \<!channel\> & 2 GB: \[see \*here\*\](https://evil.example).";

#[test]
fn slack_gets_a_text_in_which_nothing_is_a_link_or_a_mention() {
    let post = posted(SAID, |url| channel(ChannelKind::Slack, url));
    assert_eq!(post.header("content-type"), "application/json");
    let body = post.json();
    let text = body["text"].as_str().expect("a text");
    assert!(
        text.starts_with(&format!(
            "*{TITLE}*\nIt has &lt;!channel&gt; &amp; 2 GB: [see *here*](https://evil.example).\n"
        )),
        "{text}"
    );
    assert!(text.ends_with(&format!("\n<{PAGE}>")), "{text}");
}

#[test]
fn teams_gets_an_adaptive_card_in_a_message() {
    let body = posted(SAID, |url| channel(ChannelKind::Teams, url)).json();
    assert_eq!(body["type"], "message");
    let attachment = &body["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &attachment["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    assert_eq!(card["body"][0]["text"], PLAIN_TITLE);
    assert!(card["body"][1]["text"].as_str().expect("a text").starts_with(PLAIN));
    assert_eq!(card["actions"][0], json!({ "type": "Action.OpenUrl", "title": "Open its page", "url": PAGE }));
}

#[test]
fn discord_gets_a_content_of_2000_characters_at_most_that_mentions_nobody() {
    let body = posted(SAID, |url| channel(ChannelKind::Discord, url)).json();
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let text = body["content"].as_str().expect("a text");
    assert!(
        text.starts_with(&format!("**{PLAIN_TITLE}**\n{PLAIN}\n")) && text.ends_with(&format!("\n<{PAGE}>")),
        "{text}"
    );
    let long: &'static str = Box::leak("long \u{1f941} ".repeat(900).into_boxed_str());
    let body = posted(long, |url| channel(ChannelKind::Discord, url)).json();
    let text = body["content"].as_str().expect("a text");
    assert!(
        (1900..=2000).contains(&text.encode_utf16().count()) && text.ends_with(&format!("...\n<{PAGE}>")),
        "{text}"
    );
}

#[test]
fn telegram_gets_a_text_for_the_chat_at_the_path_of_its_bot() {
    let post = posted(SAID, |url| AlertChannel {
        token: Secret::from(TOKEN.to_owned()),
        chat_id: "-100200".to_owned(),
        ..channel(ChannelKind::Telegram, url)
    });
    assert_eq!(post.path, format!("/hook/bot{TOKEN}/sendMessage"));
    let body = post.json();
    assert_eq!(body["chat_id"], "-100200");
    assert_eq!(body["link_preview_options"], json!({ "is_disabled": true }));
    let text = body["text"].as_str().expect("a text");
    assert!(text.starts_with(&format!("{TITLE}\n\n{SAID}\n")) && text.ends_with(PAGE), "{text}");
}

#[test]
fn ntfy_gets_title_message_priority_and_the_page_to_open() {
    let post = posted(SAID, |url| AlertChannel {
        token: Secret::from(TOKEN.to_owned()),
        topic: "ngoma".to_owned(),
        ..channel(ChannelKind::Ntfy, url.trim_end_matches("/hook"))
    });
    assert_eq!((post.path.as_str(), post.header("authorization")), ("/", format!("Bearer {TOKEN}").as_str()));
    let body = post.json();
    assert_eq!((&body["topic"], &body["title"], &body["click"]), (&json!("ngoma"), &json!(TITLE), &json!(PAGE)));
    assert_eq!((&body["priority"], &body["tags"]), (&json!(4), &json!(["warning"])));
    assert!(body["message"].as_str().expect("a text").starts_with(SAID));
}

#[test]
fn text_gets_plain_text_and_standard_a_signed_post() {
    let post = posted(SAID, |url| channel(ChannelKind::Text, url));
    assert_eq!((post.header("content-type"), post.header("authorization")), ("text/plain; charset=utf-8", ""));
    assert!(post.text().starts_with(&format!("{TITLE}\n\n{SAID}\n")) && post.text().ends_with(&format!("\n{PAGE}\n")));
    let post = posted(SAID, |url| AlertChannel {
        secret: Secret::from(SECRET.to_owned()),
        ..channel(ChannelKind::Standard, url)
    });
    assert!(post.header("webhook-signature").starts_with("v1,"));
    assert_eq!(post.json()["type"], "server.room_reached");
}

#[test]
fn a_service_that_asks_to_wait_is_left_in_peace_for_as_long() {
    for (head, body, wait) in [
        ("Retry-After: 90\r\n", "", 90),
        ("", r#"{"message": "You are being rate limited.", "retry_after": 61.5, "global": false}"#, 62),
        ("", r#"{"ok": false, "error_code": 429, "parameters": {"retry_after": 75}}"#, 75),
    ] {
        let receiver = Receiver::new();
        receiver.always(Reply::Answer(429, head, body.as_bytes().to_vec()));
        let world = world_of(vec![channel(ChannelKind::Discord, &receiver.url())]);
        raise(&world, SAID);
        receiver.always(Reply::Answer(204, "", Vec::new()));
        advance(&world, &format!("{}s", wait - 1));
        receiver.only();
        advance(&world, "1s");
        assert_eq!(receiver.wait_for(2).len(), 2);
        assert_eq!(outbox::<i64>(&world, "count(*)", "channel = 'discord' AND told_at IS NOT NULL"), 1);
    }
}

#[test]
fn a_channel_that_says_not_now_is_left_in_peace_by_all_that_waits_for_it() {
    for (head, status, wait) in [("Retry-After: 90\r\n", 429, 90), ("Retry-After: 90\r\n", 503, 90), ("", 500, 5)] {
        let receiver = Receiver::new();
        receiver.always(Reply::Answer(status, head, b"not now".to_vec()));
        let world = world_of(vec![channel(ChannelKind::Slack, &receiver.url())]);
        raise(&world, SAID);
        for about in [About::Crash, About::Clock] {
            world.write(move |tx| operator_alerts::raise(tx, about, SAID)).expect("written");
            told(&world);
        }
        receiver.only();
        receiver.always(Reply::status(200));
        advance(&world, &format!("{}s", wait - 1));
        receiver.only();
        advance(&world, "1s");
        assert_eq!(receiver.wait_for(4).len(), 4, "three alerts, one of them twice");
    }
}

#[test]
fn the_first_bytes_of_a_refusal_are_kept_on_one_line_without_control_characters_and_secrets() {
    let receiver = Receiver::new();
    let said = format!("Unauthorized\r\n\x1b[31m for /hook/hidden/path of {TOKEN} {}", "x".repeat(1000));
    receiver.always(Reply::Answer(401, "", said.into_bytes()));
    let world = world_of(vec![AlertChannel {
        token: Secret::from(TOKEN.to_owned()),
        ..channel(ChannelKind::Text, &format!("{}/hidden/path", receiver.url()))
    }]);
    raise(&world, SAID);
    let error: String = outbox(&world, "last_error", "channel = 'text'");
    let begins = "the channel text: the receiver does not let us in (401): Unauthorized [31m for *** of *** xxx";
    assert!(error.starts_with(begins), "{error}");
    assert!(error.ends_with("x...") && error.len() < 300, "{error}");
}

#[test]
fn each_channel_has_an_outbox_of_its_own() {
    let (down, well) = (Receiver::new(), Receiver::new());
    down.always(Reply::status(500));
    let named = |name: &str, url: &str| AlertChannel { name: name.to_owned(), ..channel(ChannelKind::Slack, url) };
    let world = world_of(vec![named("night", &down.url()), named("day", &well.url())]);
    raise(&world, SAID);
    well.only();
    assert_eq!(outbox::<i64>(&world, "count(*)", "channel = 'night' AND due_at IS NOT NULL"), 1);
    down.always(Reply::status(200));
    advance(&world, "5s");
    assert_eq!((down.wait_for(2).len(), well.posts().len()), (2, 1));
}

#[test]
fn an_unsent_alert_of_an_older_database_goes_to_the_webhook_that_the_older_setting_names() {
    let own = Receiver::new();
    let mut world = World::with(|wish| {
        wish.config.alerts.webhook_url = Secret::from(own.url());
        wish.config.alerts.webhook_secret = Secret::from(SECRET.to_owned());
    });
    world.coop().webhook("http://127.0.0.1:1/", &["*"], "s");
    world.stop();
    make_older(
        &world,
        22,
        "INSERT INTO alert (key, id, endpoint, kind, created_at, since, failure)
           VALUES (5, zeroblob(16), 1, 'suspended', 1776686000000, 1776680000000, 'timeout');
         INSERT INTO alert_delivery (alert, channel, tries, due_at) VALUES (5, 'webhook', 3, 1776686000001);
         INSERT INTO alert_delivery (alert, channel, told_at) VALUES (5, 'log', 1776686000000)",
    );
    world.start();
    told(&world);
    assert_eq!(own.only().json()["type"], "webhook.suspended");
}

/// Runs `ngoma alerts test` with these channels in the environment.
fn alerts_test(channels: &str, more: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let words: Vec<&str> = ["alerts", "test"].iter().chain(more).copied().collect();
    let mut command = ngoma(folder.path(), &words);
    command.env("NGOMA_ALERTS__CHANNEL", channels);
    command.env("NGOMA_EGRESS__ALLOW_HTTP", "true").env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]");
    finish(&mut command)
}

#[test]
fn a_command_sends_a_test_to_each_channel_or_to_one_and_says_what_came_of_it() {
    leaks::secret(TOKEN);
    let (slack, text) = (Receiver::new(), Receiver::new());
    text.always(Reply::Answer(404, "", b"no_service".to_vec()));
    let channels = format!(
        r#"[{{kind="slack", url="{}"}}, {{kind="text", name="pager", token="{TOKEN}", url="{}"}}]"#,
        slack.url(),
        text.url()
    );
    let (code, out, said) = alerts_test(&channels, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(out.contains("slack: a test was taken\n"), "{out}");
    assert!(
        out.contains(
            "pager: the test was not taken: the channel pager: there is nothing at this URL (404): no_service"
        ),
        "{out}"
    );
    assert!(said.contains("1 of 2 channels did not take the test"), "{said}");
    assert!(slack.only().text().contains("Nothing is wrong."));
    assert_eq!(alerts_test(&channels, &["slack"]).0, 0);
    assert_eq!((slack.posts().len(), text.posts().len()), (2, 1));
    let (code, _, said) = alerts_test(&channels, &["telegram"]);
    assert!(code == 1 && said.contains("there is no channel telegram: expected one of slack, pager"), "{said}");
}

#[test]
fn a_channel_that_cannot_be_used_is_refused_with_its_place_and_without_its_secrets() {
    for (channels, problem) in [
        (r#"[{kind="slack"}]"#, "alerts.channel 1.url: a channel of the kind slack needs it"),
        (r#"[{kind="telegram", token="7:t0ps3cret"}]"#, "alerts.channel 1.chat_id"),
        (r#"[{kind="telegram", chat_id="7"}]"#, "alerts.channel 1.token"),
        (r#"[{kind="ntfy", url="http://127.0.0.1:1"}]"#, "alerts.channel 1.topic"),
        (r#"[{kind="text", url="ftp://t0ps3cret.example"}]"#, "alerts.channel 1.url: this URL cannot be used"),
        (r#"[{kind="text", url="http://169.254.169.254/t0ps3cret"}]"#, "alerts.channel 1.url: "),
        (r#"[{kind="standard", url="http://127.0.0.1:1"}]"#, "alerts.channel 1.secret: expected 1 to 256 bytes"),
        (r#"[{kind="slack", name="Chat!", url="http://127.0.0.1:1"}]"#, "alerts.channel 1.name: 'Chat!' is no name"),
        (
            r#"[{kind="text", url="http://127.0.0.1:1"}, {kind="text", url="http://127.0.0.1:1"}]"#,
            "have the name 'text'",
        ),
        (r#"[{kind="pigeon", url="http://127.0.0.1:1"}]"#, "alerts.channel 1.kind"),
        (r#"[{kind="text", url=707077}]"#, "alerts.channel 1.url"),
        (r#"[{kind="text", name="pager", url=707077}]"#, "alerts.channel 1 (pager).url"),
        (r#"[{kind="text", name="pager"}]"#, "alerts.channel 1 (pager).url: a channel of the kind text needs it"),
        (
            r#"[{kind="telegram", token="7", chat_id=true}]"#,
            "alerts.channel 1.chat_id in the environment variable NGOMA_ALERTS__CHANNEL: expected a number, or a text",
        ),
        (r#"[{url="http://127.0.0.1:1"}]"#, "kind is missing"),
    ] {
        let (code, out, said) = alerts_test(channels, &[]);
        assert!(code == 1 && said.contains(problem), "{channels}: {said}");
        assert!(!format!("{out}{said}").contains("t0ps3cret") && !said.contains("707077"), "{channels}: {said}");
    }
}

#[test]
fn the_number_of_a_telegram_chat_needs_no_quotes() {
    let bot = Receiver::new();
    let channels = format!(r#"[{{kind="telegram", token="{TOKEN}", chat_id=-1001234567890, url="{}"}}]"#, bot.url());
    let (code, _, said) = alerts_test(&channels, &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(bot.only().json()["chat_id"], "-1001234567890");
}

#[test]
fn no_part_of_a_channel_s_url_is_repeated_from_its_answer() {
    let receiver = Receiver::new();
    let said = "no: key=k3y7 sig=S1GNATURE+a T0P/SECRET T0P%2FSECRET T0P%2fSECRET of /services/ and my t0pic";
    receiver.always(Reply::Answer(403, "", said.as_bytes().to_vec()));
    let url = format!("{}/services/T0P%2FSECRET/B0SSB0SS?sig=S1GNATURE+a&key=k3y7", receiver.url());
    let refused = |channel: AlertChannel| {
        let name = channel.kind.name();
        let world = world_of(vec![channel]);
        raise(&world, SAID);
        outbox::<String>(&world, "last_error", &format!("channel = '{name}'"))
    };
    let error = refused(channel(ChannelKind::Teams, &url));
    let shown: Vec<_> =
        ["S1GNATURE", "k3y7", "T0P", "SECRET", "services"].into_iter().filter(|part| error.contains(part)).collect();
    assert!(shown.is_empty() && error.contains("(403): no: key=*** sig=*** ***"), "{shown:?}: {error}");
    let root = receiver.url().trim_end_matches("/hook").to_owned();
    let error = refused(AlertChannel { topic: "t0pic".to_owned(), ..channel(ChannelKind::Ntfy, &root) });
    assert!(!error.contains("t0pic") && error.contains("and my ***"), "{error}");
}

#[test]
fn a_chat_message_names_the_webhook_and_its_last_error_and_breaks_no_sentence() {
    let (chat, gone) = (Receiver::new(), Receiver::new());
    gone.always(Reply::status(410));
    let world = world_of(vec![channel(ChannelKind::Text, &chat.url())]);
    let coop = world.coop();
    let webhook = coop.webhook(&gone.url(), &["*"], "s3cret");
    coop.publish("dds.filed", json!({}));
    told(&world);
    let post = chat.only();
    let lines: Vec<&str> = post.text().lines().collect();
    let url = gone.url();
    let expected = [
        format!("[Ngoma] {COOP}: the webhook at 127.0.0.1 is SUSPENDED"),
        String::new(),
        format!(
            "The webhook of {COOP} at 127.0.0.1 is SUSPENDED: nothing is sent to it any more. New deliveries are held."
        ),
        "Repair the receiver, send it a test, then resume the webhook: its page has a button for both.".to_owned(),
        format!("webhook: {webhook} at {url}"),
        "last error: it answered 410: gone for good".to_owned(),
        String::new(),
        format!("https://hooks.coop.example/ui/webhooks/{webhook}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_system_page_lists_the_channels_without_their_secrets_and_tries_one() {
    let (chat, text) = (Receiver::new(), Receiver::new());
    text.always(Reply::Answer(500, "", b"out of paper".to_vec()));
    let hidden = |receiver: &Receiver| format!("{}/services/T0PS3CRET", receiver.url());
    let world = world_of(vec![channel(ChannelKind::Slack, &hidden(&chat)), channel(ChannelKind::Text, &hidden(&text))]);
    let browser = operator(&world);
    let page = browser.get("/ui/system");
    assert!(page.text.contains("slack") && !page.text.contains("T0PS3CRET"), "{}", page.text);
    let done = browser.post("/ui/system/test-channel", &[("channel", "slack")]);
    assert_eq!((done.status, done.header("location")), (303, "/ui/system?said=tested"));
    assert!(chat.only().json()["text"].as_str().is_some_and(|text| text.contains("Nothing is wrong.")));
    let refused = browser.post("/ui/system/test-channel", &[("channel", "text")]);
    assert!(refused.status == 503 && refused.text.contains("out of paper"), "{}", refused.text);
}
