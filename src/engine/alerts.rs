//! Delivers alerts: in the log, by mail, and by POST to the operator's own webhook.
//!
//! Each channel works through its own entries of the outbox: one that hangs delays no other channel and no delivery. An
//! alert is marked as delivered when the mail server or the webhook has accepted it. It is delivered twice, under the
//! same id, only if the program dies in between.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use tokio::sync::watch;
use url::Url;
use zeroize::Zeroizing;

use super::{
    egress::Guard,
    look_ups::system_look_up,
    mail::{Mail, Mailer},
    notices::Notices,
    poster::{Delivered, Poster},
    sender::Sender,
};
use crate::{
    clock::{Clock, SharedClock, SystemClock},
    config::Config,
    domain::{
        alert::{Alert, AlertKey, Channel, Undelivered, What},
        alert_message::{AlertMessage, unbroken},
        audit::Actor,
        endpoint::{SuspendedReason, TargetUrl},
        ids::AlertId,
        profile::Profiles,
        signature::{PREFIX, SigningSecret},
        timestamp::Timestamp,
    },
    error::{Error, Result},
    store::{
        Admission, Db,
        alerts::{self, Which},
    },
};

/// The log target of alerts. They are logged at warn, also when `log.level` hides other lines.
pub const ALERT: &str = "ngoma::alert";

/// The longest time between two looks at the outbox: the clock may be set, and other processes may write.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The wait after a fault of the database.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

/// The channels, as they are set up.
struct Channels {
    /// The base of the server's URLs.
    base: String,
    mailer: Option<Mailer>,
    webhook: Option<(TargetUrl, SigningSecret)>,
}

/// The delivery of alerts. Cheap to clone.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alerts")
    }
}

struct Inner {
    db: Db,
    clock: SharedClock,
    profiles: Profiles,
    channels: Channels,
    poster: Poster,
    /// Counts how often the outbox may have changed.
    written: watch::Sender<u64>,
    rest: watch::Sender<[ChannelRest; 3]>,
}

/// The state of a channel when it last had nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRest {
    /// When it found nothing due.
    pub at: Timestamp,
    /// The count of changes that it had seen.
    pub seen: u64,
}

/// Checks the settings of alerts.
///
/// # Errors
/// A setting that cannot be used, by its name.
pub(super) fn check(config: &Config) -> Result<()> {
    Channels::alone(config).map(drop)
}

/// Judges a URL for an account's notices, as it is written; a host name is checked at each POST.
///
/// # Errors
/// [`Error::Invalid`] if nothing may be sent there.
pub fn check_target(config: &Config, url: &TargetUrl) -> Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), clock)?;
    guard.vet_as_written(url).map_err(|blocked| blocked.for_operator())
}

/// Sends a mail that says only that mail works.
///
/// # Errors
/// [`Error::Invalid`] for a setting that cannot be used, or if there is no mail server; [`Error::Unavailable`] with the
/// reason if the server did not accept the mail.
pub async fn send_test_mail(config: &Config, to: &str) -> Result<()> {
    let Channels { base, mailer, .. } = Channels::alone(config)?;
    let none = || Error::request("alerts.smtp_url is empty: there is no mail server to send by");
    let (mailer, at) = (mailer.ok_or_else(none)?, SystemClock.now());
    let text = format!("This is a test: alerts of the Ngoma server at\n{base}\narrive here.\n\nNothing is wrong.\n");
    let mail = Mail { to, id: AlertId::mint(at), at, subject: "[Ngoma] a test: alerts arrive here", text };
    let sent = mailer.send(&mail).await;
    sent.map_err(|undelivered| Error::Unavailable(format!("the test mail was not sent: {}", undelivered.words())))
}

impl Channels {
    /// The channels, without a server.
    fn alone(config: &Config) -> Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), Arc::clone(&clock))?;
        Self::of(config, &guard, &clock)
    }

    fn of(config: &Config, guard: &Guard, clock: &SharedClock) -> Result<Self> {
        let mailer = Mailer::of(&config.alerts, &config.egress.extra_ca, guard, clock)?;
        let public = !config.server.public_url.is_empty();
        let base = if public { base(config)? } else { format!("{}://{}", config.tls.scheme(), guard.own()) };
        let unusable = |error: Error| Error::request(format!("alerts.webhook_url: {error}"));
        let own = config.alerts.webhook_secret.expose().trim();
        if own.strip_prefix(PREFIX).is_some_and(|key| !is_key(key)) {
            return Err(Error::request(format!(
                "alerts.webhook_secret: expected \"{PREFIX}\" and the base64 of 24 to 64 random bytes: echo \"{PREFIX}$(openssl rand -base64 32)\""
            )));
        }
        let webhook = if config.alerts.webhook_url.is_empty() {
            None
        } else {
            let url = TargetUrl::from_stored(config.alerts.webhook_url.expose()).map_err(unusable)?;
            // A host name is checked at each POST: one that cannot be looked up now must not prevent a start.
            guard.vet_as_written(&url).map_err(|blocked| unusable(blocked.for_operator()))?;
            let secret = SigningSecret::parse(own.to_owned()).map_err(|_| {
                Error::request("alerts.webhook_secret: expected 1 to 256 bytes, as alerts.webhook_url is set")
            })?;
            Some((url, secret))
        };
        Ok(Self { base, mailer, webhook })
    }

    /// Whether this channel is set up.
    const fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Log => true,
            Channel::Mail => self.mailer.is_some(),
            Channel::Webhook => self.webhook.is_some(),
        }
    }
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

impl Alerts {
    /// # Errors
    /// A setting that cannot be used.
    pub(super) fn new(
        (db, clock, profiles): (Db, SharedClock, Profiles),
        config: &Config,
        guard: &Guard,
        sender: Arc<Sender>,
    ) -> Result<Self> {
        let channels = Channels::of(config, guard, &clock)?;
        let poster = Poster::new(sender, config.delivery.timeout);
        let rest = watch::Sender::new([ChannelRest { at: Timestamp::from_millis(i64::MIN), seen: 0 }; 3]);
        let written = watch::Sender::new(0);
        Ok(Self(Arc::new(Inner { db, clock, profiles, channels, poster, written, rest })))
    }

    /// The destinations of alerts, in words without secrets.
    pub fn destinations(&self) -> String {
        let Channels { mailer, webhook, .. } = &self.0.channels;
        let mail = mailer.as_ref().map(|mailer| format!("mail by {mailer}"));
        let post = webhook.as_ref().map(|(url, _)| format!("POST to {}", url.origin()));
        ["in this log, at warn".to_owned()].into_iter().chain(mail).chain(post).collect::<Vec<_>>().join("; ")
    }

    /// Notes that an alert was written.
    pub fn wake(&self) {
        self.0.written.send_modify(|count| *count += 1);
    }

    /// The count of changes, and the state of each channel when it last had nothing to do.
    pub fn status(&self) -> (watch::Receiver<u64>, watch::Receiver<[ChannelRest; 3]>) {
        (self.0.written.subscribe(), self.0.rest.subscribe())
    }

    /// Delivers alerts until `stop` turns true; a delivery under way may end. At the start every alert is due at once.
    /// The log goes on until the engine has `decided` everything, so that a stop leaves no alert out of the log.
    pub async fn run(&self, stop: watch::Receiver<bool>, decided: impl Future<Output = ()>) {
        while let Err(error) = self.0.db.write(Actor::Engine, Admission::Try, alerts::all_due).await {
            tracing::error!(%error, "alerts wait until the database takes writes");
            if self.0.pause(AFTER_A_FAULT, &mut stop.clone()).await {
                return;
            }
        }
        let (silence, silent) = watch::channel(false);
        let log = async {
            self.serve(Channel::Log, silent).await;
            let (_stop, never) = watch::channel(false);
            if let Err(error) = self.0.deliver_due(Channel::Log, &never).await {
                tracing::error!(%error, "alerts wait for the next start");
            }
        };
        let end = async {
            decided.await;
            silence.send_replace(true);
        };
        let [mail, webhook] = [Channel::Mail, Channel::Webhook].map(|channel| self.serve(channel, stop.clone()));
        let inner = &self.0;
        let notices = Notices { db: &inner.db, clock: &inner.clock, profiles: &inner.profiles, poster: &inner.poster };
        let notices = notices.serve(inner.written.subscribe(), stop.clone());
        tokio::join!(log, mail, webhook, notices, end);
    }

    async fn serve(&self, channel: Channel, mut stop: watch::Receiver<bool>) {
        let inner = &self.0;
        let mut written = inner.written.subscribe();
        while !*stop.borrow_and_update() {
            let (seen, at) = (*written.borrow_and_update(), inner.clock.now());
            let next = inner.deliver_due(channel, &stop).await.unwrap_or_else(|error| {
                tracing::error!(%error, "alerts wait until the database can be read");
                Some(at + AFTER_A_FAULT)
            });
            inner.rest.send_modify(|rest| rest[channel as usize] = ChannelRest { at, seen });
            let wait = next.map_or(LOOK_AGAIN, |next| next.since(at).min(LOOK_AGAIN));
            tokio::select! {
                _ = written.changed() => {}
                _ = stop.changed() => {}
                () = inner.clock.sleep(at, wait) => {}
            }
        }
    }
}

impl Inner {
    /// Delivers all due alerts by a channel, oldest first; returns when the next one is due. Alerts for a channel that
    /// is not set up wait for a start that has it.
    async fn deliver_due(&self, channel: Channel, stop: &watch::Receiver<bool>) -> Result<Option<Timestamp>> {
        if !self.channels.has(channel) {
            return Ok(None);
        }
        loop {
            let next = self.db.read(move |view| alerts::next(view, channel)).await?;
            match next {
                Some((alert, due)) if due <= self.clock.now() && !*stop.borrow() => {
                    self.deliver(alert, channel, stop).await?;
                }
                next => return Ok(next.map(|(_, due)| due)),
            }
        }
    }

    async fn deliver(&self, key: AlertKey, channel: Channel, stop: &watch::Receiver<bool>) -> Result<()> {
        let Some(alert) = self.db.read(move |view| alerts::read(view, key)).await? else { return Ok(()) };
        let delivered = self.deliver_by(channel, &alert).await;
        let mut then = Vec::new();
        if channel == Channel::Log {
            then.extend(self.channels.mailer.as_ref().and(alert.addressee.as_ref()).map(|_| Channel::Mail));
            then.extend(self.channels.webhook.as_ref().map(|_| Channel::Webhook));
        }
        // An alert must not be delivered twice only because the database takes no writes now.
        let again = loop {
            match self.note((key, alert.id), channel, delivered.clone(), then.clone()).await {
                Ok(again) => break again,
                Err(error) => {
                    tracing::error!(%error, "an alert cannot be noted as told until the database takes writes");
                    if self.pause(AFTER_A_FAULT, &mut stop.clone()).await {
                        return Err(error);
                    }
                }
            }
        };
        if !then.is_empty() {
            self.written.send_modify(|count| *count += 1);
        }
        delivered.err().into_iter().for_each(|undelivered| log_undelivered(&alert, channel, &undelivered, again));
        Ok(())
    }

    /// Writes the result of a try and the next channels; returns when it is tried again.
    async fn note(
        &self,
        of: Which,
        channel: Channel,
        delivered: Delivered,
        then: Vec<Channel>,
    ) -> Result<Option<Timestamp>> {
        let note = self.db.write(Actor::Engine, Admission::Wait, move |tx| match delivered {
            Ok(()) => alerts::delivered(tx, of, channel, &then).map(|()| None),
            Err(undelivered) => {
                let again = |tries, created_at| undelivered.again(tries, created_at, tx.now);
                alerts::not_delivered(tx, of, channel, undelivered.words(), again)
            }
        });
        note.await
    }

    async fn deliver_by(&self, channel: Channel, alert: &Alert) -> Delivered {
        let never = |reason: &str| Err(Undelivered::Never(reason.to_owned()));
        let Some(profile) = self.profiles.get(&alert.profile) else {
            return never("its vendor is not served any more");
        };
        let at = self.clock.now().checked().map_err(|error| Undelivered::Later(error.to_string()))?;
        let message = AlertMessage { alert, profile, base: &self.channels.base };
        match channel {
            Channel::Log => {
                log(&message);
                Ok(())
            }
            Channel::Mail => match (&self.channels.mailer, &alert.addressee) {
                (Some(mailer), Some(to)) => {
                    let (subject, text) = (&message.subject(), message.text());
                    mailer.send(&Mail { to, id: alert.id, at, subject, text }).await
                }
                (None, _) => never("alerts.smtp_url is empty now"),
                (_, None) => never("the account has no alert e-mail now"),
            },
            Channel::Webhook => match &self.channels.webhook {
                Some((url, secret)) => self
                    .poster
                    .post((alert.id, at), url, secret, message.json())
                    .await
                    .map_err(|why| why.within("alerts.webhook_url: ")),
                None => never("alerts.webhook_url is empty now"),
            },
        }
    }

    /// Waits; returns whether a stop came first.
    async fn pause(&self, wait: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            () = self.clock.sleep(self.clock.now(), wait) => false,
            _ = stop.wait_for(|stop| *stop) => true,
        }
    }
}

/// Writes the alert as a log line.
fn log(message: &AlertMessage<'_>) {
    let alert = message.alert;
    let by_hand = message.by_hand();
    let failing = alert.failing();
    tracing::warn!(
        target: ALERT,
        alert = %alert.id,
        kind = alert.kind().name(),
        to = alert.addressee.as_deref().unwrap_or("(no alert e-mail)"),
        account = alert.account,
        webhook = message.webhook(),
        url = alert.masked_url(),
        suspended_at = matches!(alert.what, What::Suspended(..)).then(|| alert.created_at.to_string()),
        suspended_reason = alert.suspended_reason().map(SuspendedReason::name),
        failing_since = failing.map(|failing| failing.since.to_string()),
        last_error = failing.map(|failing| failing.failure.name()),
        last_reason = failing.and_then(|failing| failing.reason.as_deref()),
        last_status = failing.and_then(|failing| failing.status),
        held = alert.held,
        failed = alert.failed,
        look_by = unbroken(&by_hand.look),
        resume_by = by_hand.resume.as_deref().map(unbroken),
        "{}",
        match alert.what {
            What::Suspended(..) => "webhook suspended: its deliveries are held until it is resumed",
            What::Warning { .. } if message.is_damaged() => "a delivery was not sent: its stored body is damaged",
            What::Warning { next_attempt_at: Some(_), .. } => "webhook failing: half of a delivery's tries are used",
            What::Warning { next_attempt_at: None, .. } => "webhook failing: a delivery was given up",
            What::Expiring { .. } => "held deliveries will be cancelled in seven days",
        }
    );
}

/// Logs that an alert was not delivered: nobody may have read its first line.
fn log_undelivered(alert: &Alert, channel: Channel, undelivered: &Undelivered, again: Option<Timestamp>) {
    let (alert, channel, reason) = (alert.id, channel.name(), undelivered.words());
    match (undelivered, again) {
        (_, None) => tracing::error!(%alert, channel, reason, "an alert is given up"),
        (Undelivered::Later(_), Some(again)) => {
            tracing::warn!(%alert, channel, reason, again = %again, "an alert waits")
        }
        (_, Some(again)) => tracing::error!(%alert, channel, reason, again = %again, "an alert is refused"),
    }
}
