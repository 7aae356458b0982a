//! `ngoma webhooks create` and `ngoma webhooks set`: a webhook and its own settings.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    app::{access, app},
    database::block_on,
    deliveries::{named, named_of},
    manner::is_quiet,
    output::print_json,
    selection, webhook_view,
    wrong::{OfWords, wrong},
};
use crate::{
    api::profiles,
    app::{
        App,
        webhooks::{Change, EventList, NewWebhook, Registered},
    },
    config::{Config, command},
    domain::{
        endpoint_settings::{Given, SettingsChange},
        own_headers::{GivenHeaders, HeadersChange},
        version::{IfMatch, Version},
    },
    error::{Error, Result},
};

/// Most bytes that are read of a file with headers or a secret.
const MOST_READ: u64 = 64 << 10;
/// With this some editors begin a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A webhook to register.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The account that the webhook belongs to.
    #[arg(long, value_name = "ID")]
    account: String,
    /// The URL that events are POSTed to.
    #[arg(long)]
    url: String,
    /// The events: names, prefixes such as 'batch.*', or '*' for all; several with commas between them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    events: Vec<String>,
    /// A file with a signing secret of your own; - reads standard input. Without this option a strong one is made and
    /// shown once.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Changes to a webhook.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// The new URL.
    #[arg(long)]
    url: Option<String>,
    /// The new events: names, prefixes such as 'batch.*', or '*' for all; several with commas between them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    events: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    /// Remove its name.
    #[arg(long, conflicts_with = "name")]
    no_name: bool,
    /// Remove its description.
    #[arg(long, conflicts_with = "description")]
    no_description: bool,
    /// Remove all texts of --metadata.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// Remove the header of this name. Give the option once for each header.
    #[arg(long, value_name = "NAME")]
    no_header: Vec<String>,
    /// Remove the limit: as many as the receiver takes.
    #[arg(long, conflicts_with = "rate_limit")]
    no_rate_limit: bool,
    /// Send several at the same time, in any order.
    #[arg(long, conflicts_with = "ordered")]
    no_ordered: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The settings of a webhook.
#[derive(Debug, clap::Args)]
struct Settings {
    /// A name for people, one line.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// A description for people, one line.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A text for your own programs. Give the option once for each text. A change keeps those with other keys.
    #[arg(long, value_name = "KEY=TEXT", value_parser = entry)]
    metadata: Vec<(String, String)>,
    /// A header of every delivery, as 'Name: value'. Give the option once for each header. A change keeps those with other
    /// names. @FILE reads such lines from a file and @- from standard input, so that no secret is in the shell's history.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// Send this many deliveries a second at most, 0.1 to 1000.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate_limit: Option<f64>,
    /// Send one delivery at a time, in the order in which the events were accepted.
    #[arg(long)]
    ordered: bool,
}

fn rate(text: &str) -> Result<f64, &'static str> {
    text.parse().map_err(|_| "expected a number of deliveries a second, such as 5 or 0.5")
}

fn entry(text: &str) -> Result<(String, String), String> {
    let (key, text) = text.split_once('=').ok_or("expected KEY=TEXT, such as till=mbale-2")?;
    Ok((key.to_owned(), text.to_owned()))
}

/// Registers a webhook.
pub(super) fn create(args: Create, config: &Config) -> Result<()> {
    let Create { account, url, events, secret_file, settings, json } = args;
    let secret = secret_file.map(|file| read(&file)).transpose()?;
    let (name, description) = (settings.name.clone(), settings.description.clone());
    let metadata = (!settings.metadata.is_empty()).then(|| settings.metadata.iter().cloned().collect());
    let settings = SettingsChange { metadata, ..settings.change(Vec::new())? };
    let new = NewWebhook { account, url, events, secret, name, description, settings };
    let app = app(config)?;
    let registered = block_on(app.register(&access(), new)).of_words().map_err(named)?;
    let Registered { endpoint, profile, made_secret } = &registered;
    let id = webhook_view::id(endpoint, profile, app.profiles());
    let secret = made_secret.as_ref().map(|secret| secret.expose());
    if json {
        let mut made = webhook_view::object(endpoint, profile, app.profiles());
        secret.into_iter().for_each(|secret| made["secret"] = Value::from(secret));
        print_json(&made);
    } else {
        say!("{id}");
        let test = command(&format!("webhooks test {id}"));
        confirm!("\nThis webhook is registered, and active. To try it: {test}");
        if let Some(secret) = secret {
            confirm!("\nIts signing secret, which is shown only now:\n");
            say!("{secret}");
        }
    }
    Ok(())
}

/// Changes a webhook.
pub(super) fn set(args: Set, config: &Config) -> Result<()> {
    let Set { webhook, url, events, settings, no_name, no_description, no_metadata, .. } = args;
    let (name, description) = (settings.name.clone(), settings.description.clone());
    let removed = |is: bool| is.then(String::new);
    let mut metadata = settings.metadata.clone();
    let mut change = Change {
        url,
        events: (!events.is_empty()).then_some(EventList::Ordered(events)),
        name: name.or(removed(no_name)),
        description: description.or(removed(no_description)),
        settings: settings.change(args.no_header)?,
        ..Change::default()
    };
    if args.no_rate_limit {
        change.settings.rate_limit = Given::Null;
    }
    if args.no_ordered {
        change.settings.ordered = Some(false);
    }
    if no_metadata {
        change.settings.metadata = Some(BTreeMap::new());
    }
    if metadata.is_empty() && is_nothing(&change) {
        return Err(wrong("nothing is to be changed: name a setting, such as --rate-limit 5; --help shows all"));
    }
    selection::webhook(&profiles(config), &webhook)?;
    let (app, access) = (app(config)?, access());
    block_on(async {
        if !metadata.is_empty() {
            let present = app.webhook(&access, &webhook).await?.endpoint;
            change.only_if = IfMatch::parse(Some(&Version::of(&present).tag()));
            let mut all = present.settings.metadata.entries().clone();
            all.extend(metadata.drain(..));
            change.settings.metadata = Some(all);
        }
        app.update(&access, &webhook, change).await
    })
    .of_words()
    .map_err(named_of(&webhook))?;
    match (args.json, is_quiet()) {
        (false, true) => Ok(()),
        (as_json, _) => show(&app, &webhook, as_json),
    }
}

/// Shows a webhook with its settings.
pub(super) fn show(app: &App, webhook: &str, as_json: bool) -> Result<()> {
    let (_, visible) = selection::webhook(app.profiles(), webhook)?;
    let summary = block_on(app.webhook(&access(), webhook)).map_err(named_of(webhook))?;
    webhook_view::print(&summary, visible.profile.as_deref().unwrap_or_default(), app.profiles(), as_json);
    Ok(())
}

fn is_nothing(change: &Change) -> bool {
    let SettingsChange { rate_limit, ordered, metadata, headers } = &change.settings;
    let own = *rate_limit == Given::Nothing && ordered.is_none() && metadata.is_none() && headers.is_none();
    let about = change.name.is_none() && change.description.is_none();
    own && about && change.url.is_none() && change.events.is_none()
}

impl Settings {
    /// The change of the settings, without the metadata.
    fn change(self, removed: Vec<String>) -> Result<SettingsChange> {
        let mut set = BTreeMap::new();
        for given in self.header {
            let lines = match given.strip_prefix('@') {
                Some(file) => read(file)?,
                None => given.into(),
            };
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                // Never the line: it may be a secret.
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| wrong("a header has no colon: expected 'Name: value', or @FILE with such lines"))?;
                if set.insert(name.trim().to_owned(), Zeroizing::new(value.trim().to_owned())).is_some() {
                    return Err(wrong(format!("the header {} is given twice", name.trim())));
                }
            }
        }
        let headers =
            (!set.is_empty() || !removed.is_empty()).then(|| HeadersChange::Some { set: GivenHeaders(set), removed });
        let rate_limit = self.rate_limit.into();
        Ok(SettingsChange { rate_limit, ordered: self.ordered.then_some(true), metadata: None, headers })
    }
}

/// The text of a file, or of standard input, without a byte order mark.
fn read(file: &str) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let done = match file {
        "-" => io::stdin().take(MOST_READ + 1).read_to_string(&mut text),
        file => File::open(file).and_then(|file| file.take(MOST_READ + 1).read_to_string(&mut text)),
    };
    let from = if file == "-" { "standard input" } else { file };
    let length = done.map_err(|error| Error::request(format!("{from} cannot be read: {error}")))?;
    if length as u64 > MOST_READ {
        return Err(Error::request(format!("{from} is too long: at most {} KiB are read", MOST_READ >> 10)));
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}
