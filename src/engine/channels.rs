//! The channels of alerts, as the settings have them.
//!
//! The operator names their places, as the mail server: they are judged by [`Guard::of_settings`], not by the rules of
//! deliveries.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use url::Url;
use zeroize::Zeroizing;

use super::{
    egress::Guard,
    look_ups::system_look_up,
    mail::Mailer,
    poster::{Delivered, Poster},
    sender::Sender,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::{AlertChannel, ChannelKind, Config, Secret, channel_place, is_of_name},
    domain::{
        account::check_email,
        alert::{Channel, Undelivered},
        alert_service::{Service, Token},
        alert_words::AlertWords,
        endpoint::TargetUrl,
        excerpt::excerpt,
        signature::{PREFIX, SigningSecret},
        timestamp::Timestamp,
        zone::Zone,
    },
    error::{Error, Result},
    store::channels::ChannelNames,
};

/// The name of the channel that `alerts.webhook_url` sets up.
const WEBHOOK: &str = "webhook";
/// Telegram's own server.
const TELEGRAM: &str = "https://api.telegram.org";
/// The longest name of a channel.
const LONGEST_NAME: usize = 40;

/// The channels.
pub(super) struct Channels {
    /// The base of the server's URLs, without a slash at its end.
    pub(super) base: String,
    pub(super) mailer: Option<Mailer>,
    /// The time zone of the people who read the mails.
    pub(super) zone: Zone,
    /// The operator's own address.
    pub(super) operator: Option<String>,
    pub(super) posts: Vec<PostChannel>,
    /// Sends to these, and the heartbeat.
    pub(super) poster: Poster,
    /// Where the heartbeat goes.
    pub(super) heartbeat: Option<TargetUrl>,
    /// How long an alert waits for others that go in one message with it.
    pub(super) gather: Duration,
}

/// A channel by POST.
pub(super) struct PostChannel {
    pub(super) name: String,
    pub(super) kind: ChannelKind,
    /// The beginning of a message about it.
    label: String,
    service: Service,
    url: TargetUrl,
    /// What no message may repeat.
    secrets: Vec<Secret>,
}

impl Channels {
    /// The channels, without a server.
    pub(super) fn alone(config: &Config) -> Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), Arc::clone(&clock))?;
        Self::of(config, &guard, &clock)
    }

    /// The channels of these settings.
    ///
    /// # Errors
    /// A setting that cannot be used, by its name.
    pub(super) fn of(config: &Config, guard: &Guard, clock: &SharedClock) -> Result<Self> {
        let (settings, guard) = (&config.alerts, &guard.of_settings());
        let mailer = Mailer::of(settings, &config.egress.extra_ca, guard, clock)?;
        let zone = Zone::named(settings.time_zone.trim());
        let zone = zone.map_err(|error| Error::request(format!("alerts.time_zone: {error}")))?;
        let public = !config.server.public_url.is_empty();
        let base = if public { base(config)? } else { format!("{}://{}", config.tls.scheme(), guard.own()) };
        let operator = Some(settings.operator_email.trim()).filter(|to| !to.is_empty()).map(str::to_owned);
        if let Some(to) = &operator {
            check_email(to).map_err(|error| Error::request(format!("alerts.operator_email: {error}")))?;
        }
        let older = AlertChannel {
            kind: ChannelKind::Standard,
            name: WEBHOOK.to_owned(),
            url: settings.webhook_url.clone(),
            secret: settings.webhook_secret.clone(),
            token: Secret::default(),
            url_file: PathBuf::new(),
            secret_file: PathBuf::new(),
            token_file: PathBuf::new(),
            chat_id: String::new(),
            topic: String::new(),
        };
        let listed = settings.channel.iter().zip(1..).map(|(channel, number)| {
            let place = Place { words: channel_place(number, &channel.name), joint: '.' };
            check_name(&channel.name, &place)?;
            PostChannel::of(channel, &place, guard)
        });
        let listed = listed.collect::<Result<Vec<_>>>()?;
        check_standard(&older.secret, "alerts.webhook_secret")?;
        let place = Place { words: "alerts.webhook".to_owned(), joint: '_' };
        let older = (!older.url.is_empty()).then(|| PostChannel::of(&older, &place, guard)).transpose()?;
        let heartbeat = heartbeat(&settings.heartbeat_url, guard)?;
        let posts: Vec<PostChannel> = older.into_iter().chain(listed).collect();
        let sender = Sender::new(guard, &config.egress.extra_ca, 1 + posts.len())?;
        let poster = Poster::new(Arc::new(sender), config.delivery.timeout);
        let mut names = HashSet::new();
        match posts.iter().find(|post| !names.insert(post.name.as_str())) {
            Some(twice) => Err(Error::request(format!(
                "two channels of alerts have the name '{}': give each [[alerts.channel]] a name of its own",
                twice.name
            ))),
            None => Ok(Self { base, mailer, zone, operator, posts, poster, heartbeat, gather: settings.gather }),
        }
    }

    /// Every channel: the log first.
    pub(super) fn all(&self) -> Vec<Channel> {
        let posts = self.posts.iter().map(|post| Channel::Post(post.name.clone()));
        [Channel::Log, Channel::Mail].into_iter().chain(posts).collect()
    }

    /// The channels after the log, for an alert that is mailed to this address.
    pub(super) fn after_log(&self, to: Option<&str>) -> Vec<Channel> {
        let mail = self.mailer.as_ref().and(to).map(|_| Channel::Mail);
        mail.into_iter().chain(self.posts.iter().map(|post| Channel::Post(post.name.clone()))).collect()
    }

    /// The channels that can be tested: name, kind, and where it is, without secrets.
    pub(super) fn shown(&self) -> Vec<(String, &'static str, String)> {
        let mail = self.mailer.as_ref().zip(self.operator.as_ref());
        let mail = mail.map(|(mailer, to)| ("mail".to_owned(), "mail", format!("{to} by {mailer}")));
        let post = |post: &PostChannel| (post.name.clone(), post.kind.name(), post.url.origin());
        mail.into_iter().chain(self.posts.iter().map(post)).collect()
    }

    /// The names of those.
    pub(super) fn testable(&self) -> Vec<String> {
        self.shown().into_iter().map(|(name, ..)| name).collect()
    }

    /// The channel by POST of this name.
    pub(super) fn post(&self, name: &str) -> Option<&PostChannel> {
        self.posts.iter().find(|post| post.name == name)
    }

    /// Whether people read it, who want one message for one cause.
    pub(super) fn gathers(&self, channel: &Channel) -> bool {
        match channel {
            Channel::Log => false,
            Channel::Mail => true,
            Channel::Post(name) => self.post(name).is_some_and(|post| post.kind != ChannelKind::Standard),
        }
    }

    /// Whether this channel is set up.
    pub(super) fn has(&self, channel: &Channel) -> bool {
        match channel {
            Channel::Log => true,
            Channel::Mail => self.mailer.is_some(),
            Channel::Post(name) => self.post(name).is_some(),
        }
    }

    /// The names of the channels that are set up.
    pub(super) fn names(&self) -> ChannelNames {
        ChannelNames::of(self.all().iter().filter(|channel| self.has(channel)))
    }

    /// The destinations, in words without secrets.
    pub(super) fn destinations(&self) -> String {
        let mail = self.mailer.as_ref().map(|mailer| format!("mail by {mailer}"));
        let posts = self.posts.iter().map(PostChannel::destination);
        let heart = self.heartbeat.as_ref().map(|url| format!("a heartbeat to {}", url.origin()));
        let all = ["in this log, at warn".to_owned()].into_iter().chain(mail).chain(posts).chain(heart);
        all.collect::<Vec<_>>().join("; ")
    }
}

/// Where a channel stands in the settings.
struct Place {
    words: String,
    /// What stands before the name of a key.
    joint: char,
}

impl Place {
    /// The key of this name.
    fn key(&self, name: &str) -> String {
        format!("{}{}{name}", self.words, self.joint)
    }

    fn unusable(&self, name: &str, problem: &str) -> Error {
        Error::request(format!("{}: {problem}", self.key(name)))
    }

    /// The value, which this kind needs.
    fn need<'a>(&self, kind: ChannelKind, name: &str, value: &'a str) -> Result<&'a str> {
        let lacks = || self.unusable(name, &format!("a channel of the kind {} needs it", kind.name()));
        Some(value.trim()).filter(|value| !value.is_empty()).ok_or_else(lacks)
    }
}

impl PostChannel {
    /// The channel of these settings, which are at this place.
    fn of(given: &AlertChannel, place: &Place, guard: &Guard) -> Result<Self> {
        let name = if given.name.is_empty() { given.kind.name() } else { given.name.as_str() };
        let refused = |error: Error| place.unusable("url", &error.to_string());
        let url = TargetUrl::from_stored(&url_text(given, place)?).map_err(refused)?;
        // A host name is checked at each POST: one that cannot be looked up now must not prevent a start.
        guard.vet_as_written(&url).map_err(|blocked| refused(blocked.for_operator()))?;
        if given.kind == ChannelKind::Ntfy && !url.is_root() {
            let problem = format!(
                "ntfy takes these messages at its root only: write url = \"{}\", and the name of the topic as topic",
                url.origin()
            );
            return Err(place.unusable("url", &problem));
        }
        Ok(Self {
            name: name.to_owned(),
            kind: given.kind,
            label: if name == WEBHOOK { place.key("url") } else { format!("the channel {name}") },
            service: service(given, place)?,
            url,
            // Who knows a topic of ntfy can write to it.
            secrets: vec![given.secret.clone(), given.token.clone(), Secret::from(given.topic.clone())],
        })
    }

    /// Where its POSTs go, in words without secrets.
    pub(super) fn destination(&self) -> String {
        match self.name.as_str() {
            WEBHOOK => format!("POST to {}", self.url.origin()),
            name => format!("{name} at {}", self.url.origin()),
        }
    }

    /// POSTs these words.
    pub(super) async fn deliver(&self, poster: &Poster, words: &AlertWords, at: Timestamp) -> Delivered {
        let secrets: Vec<&str> = self.secrets.iter().map(Secret::expose).collect();
        let done = poster.post(at, &self.url, self.service.request(words, at), &secrets).await;
        done.map_err(|why| match why {
            Undelivered::Never(words) if !self.service.ends_by_gone() => Undelivered::Refused(words),
            why => why,
        })
        .map_err(|why| why.within(&format!("{}: ", self.label)))
    }
}

/// The place for the heartbeat, if there is one.
fn heartbeat(url: &Secret, guard: &Guard) -> Result<Option<TargetUrl>> {
    let refused = |error: Error| Error::request(format!("alerts.heartbeat_url: {error}"));
    if url.is_empty() {
        return Ok(None);
    }
    let url = TargetUrl::from_stored(url.expose().trim()).map_err(refused)?;
    guard.vet_as_written(&url).map_err(|blocked| refused(blocked.for_operator()))?;
    Ok(Some(url))
}

/// The service of a channel, with its address and its secrets.
fn service(given: &AlertChannel, place: &Place) -> Result<Service> {
    let need = |name, value| place.need(given.kind, name, value);
    let token = || Token::new(given.token.expose().trim().to_owned());
    Ok(match given.kind {
        ChannelKind::Standard => {
            check_standard(&given.secret, &place.key("secret"))?;
            let secret = SigningSecret::parse(given.secret.expose().trim().to_owned());
            Service::Standard(
                secret.map_err(|_| place.unusable("secret", "expected 1 to 256 bytes, as the URL is set"))?,
            )
        }
        ChannelKind::Slack => Service::Slack,
        ChannelKind::Teams => Service::Teams,
        ChannelKind::Discord => Service::Discord,
        ChannelKind::Telegram => Service::Telegram(need("chat_id", &given.chat_id)?.to_owned()),
        ChannelKind::Ntfy => Service::Ntfy(need("topic", &given.topic)?.to_owned(), token()),
        ChannelKind::Text => Service::Text(token()),
    })
}

/// The URL of a channel's POSTs.
fn url_text(given: &AlertChannel, place: &Place) -> Result<String> {
    let url = given.url.expose().trim();
    if given.kind == ChannelKind::Telegram {
        let server = if url.is_empty() { TELEGRAM } else { url.trim_end_matches('/') };
        let token = place.need(given.kind, "token", given.token.expose())?;
        return Ok(format!("{server}/bot{token}/sendMessage"));
    }
    place.need(given.kind, "url", url).map(str::to_owned)
}

/// Checks the name of a channel in the list.
fn check_name(name: &str, place: &Place) -> Result<()> {
    let taken = matches!(name, "log" | "mail" | WEBHOOK);
    if taken || name.len() > LONGEST_NAME || !name.bytes().all(is_of_name) {
        let problem = format!(
            "'{}' is no name: expected up to {LONGEST_NAME} small letters, digits, - or _, and none of log, mail, webhook",
            excerpt(name)
        );
        return Err(place.unusable("name", &problem));
    }
    Ok(())
}

/// Checks a secret that looks like one of Standard Webhooks.
fn check_standard(secret: &Secret, key: &str) -> Result<()> {
    if secret.expose().trim().strip_prefix(PREFIX).is_some_and(|key| !is_key(key)) {
        return Err(Error::request(format!(
            "{key}: expected \"{PREFIX}\" and the base64 of 24 to 64 random bytes: echo \"{PREFIX}$(openssl rand -base64 32)\""
        )));
    }
    Ok(())
}

/// Whether this is the base64 of a key as Standard Webhooks 1.0.0 requires: 24 to 64 bytes. Padding may be missing.
fn is_key(text: &str) -> bool {
    let key = BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map(Zeroizing::new);
    key.is_ok_and(|key| (24..=64).contains(&key.len()))
}

/// `server.public_url`. It is put in quotes in command lines that people paste into a shell.
fn base(config: &Config) -> Result<String> {
    let text = config.server.public_url.trim_end_matches('/');
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&byte));
    match Url::parse(text) {
        Ok(url) if plain && matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        _ => Err(Error::request(format!(
            "server.public_url is '{text}': expected an address such as https://hooks.coop.example"
        ))),
    }
}
