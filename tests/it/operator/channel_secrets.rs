//! What is secret of a channel of alerts comes from files: its URL, its secret, its token.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use ngoma::domain::{signature::SigningSecret, timestamp::Timestamp};
use serde_json::json;

use crate::support::{
    leaks,
    program::run,
    receiver::{Receiver, Reply},
    site::{SECRET, Site},
};

const TOKEN: &str = "tk_that_nobody_may_see";

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
}

#[test]
fn url_secret_and_token_of_a_channel_are_read_from_files_and_never_shown() {
    let mut site = Site::new();
    let (own, text) = (Receiver::new(), Receiver::new());
    leaks::secret(SECRET);
    leaks::secret(TOKEN);
    write(&site.folder().join("own_url"), &format!("{}/a/hidden/place\n", own.url()));
    write(&site.folder().join("own_secret"), &format!("{SECRET}\n"));
    write(&site.folder().join("text_token"), &format!("{TOKEN}\n"));
    let settings = format!(
        "[[alerts.channel]]\nkind = \"standard\"\nurl_file = \"own_url\"\nsecret_file = \"own_secret\"\n
         [[alerts.channel]]\nkind = \"text\"\nurl = \"{}\"\ntoken_file = \"text_token\"\n",
        text.url()
    );
    fs::write(site.folder().join("config.toml"), settings).expect("written");
    let server = site.set("LOG__LEVEL", "info").start();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    server.coop().publish("dds.filed", json!({}));
    let post = own.wait_for(1).remove(0);
    assert!(post.path.ends_with("/a/hidden/place"), "{}", post.path);
    let (id, header) = (post.header("webhook-id"), post.header("webhook-signature"));
    let at = Timestamp::from_millis(post.header("webhook-timestamp").parse::<i64>().expect("seconds") * 1000);
    let secret = SigningSecret::parse(SECRET.to_owned()).expect("a secret");
    assert!(secret.verifies_standard(id, at, &post.body, header), "{header}");
    assert_eq!(text.wait_for(1)[0].header("authorization"), format!("Bearer {TOKEN}"));
    let shown = server.kill();
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn the_file_of_a_channel_s_secret_that_cannot_be_used_is_named_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("own_secret"), SECRET);
    let check = |channel: &str| {
        let channel = format!("[[alerts.channel]]\nkind = \"standard\"\nurl = \"https://ops.example/\"\n{channel}\n");
        fs::write(folder.path().join("config.toml"), channel).expect("written");
        let (code, out, err) = run(folder.path(), &["check"]);
        (code, out + &err)
    };
    let (code, said) = check("secret_file = \"missing\"");
    assert!(code == 1 && said.contains("alerts.channel 1.secret_file: missing is not there"), "{said}");
    let (code, said) = check("secret_file = \"missing\"\ntoken_file = \"gone\"");
    assert!(
        code == 1 && said.contains("secret_file: missing is not there") && said.contains("token_file: gone is not"),
        "{said}"
    );
    assert!(!said.contains("needs it"), "each is told once: {said}");
    let (code, said) = check(&format!("secret = \"{SECRET}\"\nsecret_file = \"own_secret\""));
    assert!(code == 1 && said.contains("alerts.channel 1.secret and alerts.channel 1.secret_file are both"), "{said}");
}

#[test]
fn settings_whose_channels_have_all_secrets_in_files_may_be_read_by_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("own_url", "https://ops.example/"), ("own_secret", SECRET)] {
        write(&folder.path().join(name), text);
    }
    let warned = |channel: &str| {
        let settings = folder.path().join("config.toml");
        fs::write(&settings, format!("[[alerts.channel]]\nkind = \"standard\"\n{channel}\n")).expect("written");
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).expect("set");
        let (code, out, err) = run(folder.path(), &["check"]);
        assert_eq!(code, 0, "{err}");
        out.contains("config.toml holds a secret and everybody may read it")
    };
    assert!(!warned("url_file = \"own_url\"\nsecret_file = \"own_secret\""));
    assert!(warned(&format!("url_file = \"own_url\"\nsecret = \"{SECRET}\"")));
}
