//! Everything that the suite shows, and every secret: tests/leaks looks for the one in the other.
//!
//! With `TEST_LEAKS` set, every log line of the servers at trace level, every panic, every answer of the API and every
//! line of the built program is appended to that file; to the one that `TEST_SECRETS` names, every token and every
//! signing secret, in every form that reveals it. Output that must show a secret is not kept: the answer to a
//! registration that sent no secret, the new `alerts_secret` of an account, `token create`, `webhooks create`,
//! `account set --alerts-url`, and the tokens of `--dev`.

use std::{
    collections::BTreeSet,
    env,
    fs::{File, OpenOptions},
    io::{self, Write},
    panic,
    process::Command,
    sync::{Mutex, Once, OnceLock},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use ngoma::domain::token;
use serde_json::Value;
use tracing_subscriber::{EnvFilter, fmt};
use url::form_urlencoded;

use crate::support::receiver::lock;

/// Shorter secrets, as stories use them, are words that appear everywhere.
const SECRET_ENOUGH: usize = 16;

type Kept = Option<Mutex<File>>;

fn file(variable: &str) -> Kept {
    let path = env::var_os(variable)?;
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    Some(Mutex::new(opened.unwrap_or_else(|error| panic!("{variable} is {}: {error}", path.display()))))
}

fn append(kept: &Kept, text: &str) {
    if let Some(file) = kept {
        // In one piece: a line is never broken by another's.
        lock(file).write_all(format!("{}\n", text.trim_end()).as_bytes()).expect("it is kept");
    }
}

/// Keeps a text that others could see.
pub fn shown(text: &str) {
    static LEAKS: OnceLock<Kept> = OnceLock::new();
    append(LEAKS.get_or_init(|| file("TEST_LEAKS")), text);
}

/// Keeps a secret, which no output may show.
pub fn secret(text: &str) {
    static SECRETS: OnceLock<Kept> = OnceLock::new();
    // A form is a line, and one of a few letters, or of one letter again and again, stands everywhere too.
    let forms = forms(text);
    let tells = |form: &&str| {
        form.trim().len() >= SECRET_ENOUGH && form.bytes().any(|byte| !form.starts_with(char::from(byte)))
    };
    let forms: Vec<&str> = forms.iter().flat_map(|form| form.lines()).filter(tells).collect();
    if text.len() >= SECRET_ENOUGH && !forms.is_empty() {
        append(SECRETS.get_or_init(|| file("TEST_SECRETS")), &forms.join("\n"));
    }
}

/// Every form that reveals a token or a signing secret: the text, quoted or in a URL; its bytes, or those of the key
/// that it encodes, in base64, in hexadecimal and as a list of numbers. Prefix and checksum are left out, for they are
/// no secret.
pub fn forms(text: &str) -> BTreeSet<String> {
    let (digits, rest) = (text.strip_prefix(token::PREFIX), text.strip_prefix("whsec_"));
    let key = rest.and_then(|rest| BASE64_STANDARD.decode(rest).ok());
    let core = match (digits, rest) {
        (Some(digits), _) => digits.get(..43).unwrap_or(digits),
        (_, Some(rest)) => rest.trim_end_matches('='),
        _ => text,
    };
    let quoted = |text: String| text.trim_matches('"').to_owned();
    let mut forms = BTreeSet::from([
        core.to_owned(),
        quoted(format!("{core:?}")),
        quoted(Value::from(core).to_string()),
        form_urlencoded::byte_serialize(core.as_bytes()).collect(),
    ]);
    for bytes in [Some(core.as_bytes()), key.as_deref()].into_iter().flatten() {
        forms.insert(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        forms.insert(format!("{bytes:?}").trim_matches(['[', ']']).to_owned());
        for before in 0..3 {
            // The digits in the middle, which encode nothing but the secret.
            let encoded = BASE64_STANDARD_NO_PAD.encode([&[0; 3][..before], bytes].concat());
            let encoded = encoded.get((before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6).unwrap_or_default();
            forms.extend([encoded.to_owned(), encoded.replace('+', "-").replace('/', "_")]);
        }
    }
    forms
}

/// Keeps every log line of this process from now on, and every panic.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if env::var_os("TEST_LEAKS").is_none() {
            return;
        }
        // As in the program, what sends prints no address: that of a channel of alerts may hold a token.
        let filter = EnvFilter::new("trace,ureq::run=warn");
        fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Line(Vec::new())).init();
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            shown(&what.to_string());
            usual(what);
        }));
    });
}

/// One log line on its way to the file.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        shown(&String::from_utf8_lossy(&self.0));
    }
}

/// Keeps an exchange with the API: the secret that was sent or made, and the answer, unless it is the one that may show
/// it.
pub fn exchange(path: &str, body: Option<&[u8]>, status: u16, answer: &str) {
    let secret_of = |text: &[u8]| {
        serde_json::from_slice::<Value>(text).ok().and_then(|body| body["secret"].as_str().map(str::to_owned))
    };
    let sent = body.and_then(secret_of);
    if let Some(sent) = &sent {
        secret(sent);
    }
    let token_of = |text: &str| serde_json::from_str::<Value>(text).ok()?["token"].as_str().map(str::to_owned);
    if let Some(made) = token_of(answer).filter(|_| status == 201 && path == "/operator/tokens") {
        secret(&made);
        return shown(&answer.replace(&made, "***"));
    }
    let notices_of =
        |text: &str| serde_json::from_str::<Value>(text).ok()?["alerts_secret"].as_str().map(str::to_owned);
    if let Some(made) = notices_of(answer).filter(|_| status == 200 && path.starts_with("/operator/accounts/")) {
        secret(&made);
        return shown(&answer.replace(&made, "***"));
    }
    let link_of = |text: &str| serde_json::from_str::<Value>(text).ok()?["url"].as_str().map(str::to_owned);
    if let Some(made) = link_of(answer).filter(|_| status == 201 && path == "/operator/sign-in-links") {
        secret(made.rsplit('/').next().unwrap_or_default());
        return shown(&answer.replace(&made, "***"));
    }
    match secret_of(answer.as_bytes()).filter(|_| status == 201 && sent.is_none() && path.ends_with("/webhooks")) {
        Some(made) => {
            secret(&made);
            shown(&answer.replace(&made, "***"));
        }
        // The contract and its page show an example's.
        None if matches!(path, "/docs" | "/openapi.json") => {}
        None => shown(answer),
    }
}

/// Keeps a line that a program printed: a token, where it may stand.
pub fn printed(command: &str, line: &str) {
    let tokens = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("ngm_"));
    if ["\"token\" \"create\"", "\"webhooks\" \"create\"", "\"--dev\"", "\"--alerts-url\"", "\"setup\""]
        .iter()
        .any(|words| command.contains(words))
    {
        tokens.for_each(secret);
    } else if !command.contains("\"openapi\"") {
        // The contract shows an example's.
        shown(line);
    }
}

/// A command line, as `printed` wants it.
pub fn words(command: &Command) -> String {
    command.get_args().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}
