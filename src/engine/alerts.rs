//! Delivers alerts: in the log, by mail, and by POST to the operator's channels.
//!
//! Each channel works through its own entries of the outbox: one that hangs delays no other channel and no delivery. An
//! alert is marked as delivered when the mail server or the webhook has accepted it, in one transaction with all that
//! went in the same message. It is delivered twice only if the program dies in between: under the same id, unless more
//! goes in the message by then.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    alert_log,
    channels::Channels,
    egress::Guard,
    look_ups::system_look_up,
    notices::Notices,
    poster::{Delivered, Poster, unless_stopped},
    sender::Sender,
    stray_alerts::StrayAlerts,
    try_channels,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    domain::{
        alert::{Alert, AlertKey, Channel, HOURLY, Undelivered},
        alert_digest::digest,
        alert_message::AlertMessage,
        audit::Actor,
        endpoint::TargetUrl,
        operator_alert::OperatorAlert,
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::Result,
    store::{
        Admission, Db, Tx, View,
        alerts::{self, Which},
        channels::ChannelNames,
        gathered_alerts::{self, Together},
        operator_alerts,
    },
};

pub use super::alert_log::ALERT;

/// The longest time between two looks at the outbox: the clock may be set, and other processes may write.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The wait after a fault of the database.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

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
    /// Sends to the places that accounts name.
    poster: Poster,
    /// Counts how often the outbox may have changed.
    written: watch::Sender<u64>,
    rest: watch::Sender<Vec<ChannelRest>>,
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
/// [`Invalid`](crate::error::Error::Invalid) if nothing may be sent there.
pub fn check_target(config: &Config, url: &TargetUrl) -> Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), clock)?;
    guard.vet_as_written(url).map_err(|blocked| blocked.for_operator())
}

/// What a message tells.
enum Told {
    /// Alerts of one kind about webhooks of one account, oldest first.
    Webhooks(Vec<Alert>),
    /// One about the server.
    Server(OperatorAlert),
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
        let never = ChannelRest { at: Timestamp::from_millis(i64::MIN), seen: 0 };
        let rest = watch::Sender::new(vec![never; channels.all().len()]);
        let written = watch::Sender::new(0);
        Ok(Self(Arc::new(Inner { db, clock, profiles, channels, poster, written, rest })))
    }

    /// The destinations of alerts, in words without secrets.
    pub fn destinations(&self) -> String {
        self.0.channels.destinations()
    }

    /// Whether there is a place for the heartbeat.
    pub fn has_heartbeat(&self) -> bool {
        self.0.channels.heartbeat.is_some()
    }

    /// Sends the heartbeat.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn beat(&self) -> std::result::Result<(), Undelivered> {
        match &self.0.channels.heartbeat {
            Some(url) => self.0.channels.poster.get(self.0.clock.now(), url).await,
            None => Ok(()),
        }
    }

    /// The names of the channels that are set up.
    pub fn set_up(&self) -> ChannelNames {
        self.0.channels.names()
    }

    /// The channels that can be tested: name, kind, and where it is, without secrets.
    pub fn channels(&self) -> Vec<(String, &'static str, String)> {
        self.0.channels.shown()
    }

    /// Sends a test to the channel of this name.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) if there is no such channel; [`Unavailable`](crate::error::Error::Unavailable) with the reason if it was not taken.
    pub async fn test(&self, name: &str) -> Result<()> {
        try_channels::test(&self.0.channels, name, self.0.clock.now()).await
    }

    /// Notes that an alert was written.
    pub fn wake(&self) {
        self.0.written.send_modify(|count| *count += 1);
    }

    /// The count of changes, and the state of each channel when it last had nothing to do.
    pub fn status(&self) -> (watch::Receiver<u64>, watch::Receiver<Vec<ChannelRest>>) {
        (self.0.written.subscribe(), self.0.rest.subscribe())
    }

    /// Delivers alerts until `stop` turns true; a mail under way may end, a POST too if it is soon. At the start every alert is due at once.
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
            self.serve(0, Channel::Log, silent).await;
            let (_stop, never) = watch::channel(false);
            if let Err(error) = self.0.deliver_due(&Channel::Log, &never, &mut None).await {
                tracing::error!(%error, "alerts wait for the next start");
            }
        };
        let end = async {
            decided.await;
            silence.send_replace(true);
        };
        let inner = &self.0;
        let mut others = JoinSet::new();
        for (place, channel) in inner.channels.all().into_iter().enumerate().skip(1) {
            let (alerts, stop) = (self.clone(), stop.clone());
            others.spawn(async move { alerts.serve(place, channel, stop).await });
        }
        let notices = Notices { db: &inner.db, clock: &inner.clock, profiles: &inner.profiles, poster: &inner.poster };
        let notices = notices.serve(inner.written.subscribe(), stop.clone());
        let strays = StrayAlerts { db: &inner.db, clock: &inner.clock, set_up: inner.channels.names() }.serve(stop);
        tokio::join!(log, others.join_all(), notices, strays, end);
    }

    async fn serve(&self, place: usize, channel: Channel, mut stop: watch::Receiver<bool>) {
        let inner = &self.0;
        let mut written = inner.written.subscribe();
        let mut rests = None;
        while !*stop.borrow_and_update() {
            let (seen, at) = (*written.borrow_and_update(), inner.clock.now());
            let next = inner.deliver_due(&channel, &stop, &mut rests).await.unwrap_or_else(|error| {
                tracing::error!(%error, "alerts wait until the database can be read");
                Some(at + AFTER_A_FAULT)
            });
            inner.rest.send_modify(|rest| rest[place] = ChannelRest { at, seen });
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
    /// Delivers all due alerts by a channel, oldest first, while it takes them; returns when the next one is due. Alerts for a channel that
    /// is not set up wait ([`StrayAlerts`]).
    async fn deliver_due(
        &self,
        channel: &Channel,
        stop: &watch::Receiver<bool>,
        rests: &mut Option<Timestamp>,
    ) -> Result<Option<Timestamp>> {
        if !self.channels.has(channel) {
            return Ok(None);
        }
        loop {
            let now = self.clock.now();
            // A later moment is of a clock that was set back since.
            if let Some(until) = rests.filter(|until| *until > now && *until <= now + HOURLY) {
                return Ok(Some(until));
            }
            let own = channel.clone();
            let next = self.db.read(move |view| alerts::next(view, &own)).await?;
            match next {
                Some((alert, due)) if due <= self.clock.now() && !*stop.borrow() => {
                    *rests = self.deliver(alert, channel, stop).await?;
                }
                next => return Ok(next.map(|(_, due)| due)),
            }
        }
    }

    /// Delivers an alert by a channel. Returns until when the channel is left in peace, if it said "not now".
    async fn deliver(
        &self,
        key: AlertKey,
        channel: &Channel,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Timestamp>> {
        let read = self.db.read(move |view| {
            Ok(match alerts::read(view, key)? {
                Some(alert) => Some(Told::Webhooks(vec![alert])),
                None => operator_alerts::read(view, key)?.map(Told::Server),
            })
        });
        let told = match read.await? {
            Some(Told::Webhooks(_)) if self.channels.gathers(channel) => self.gather(key, channel).await?,
            told => told,
        };
        let Some(told) = told else { return Ok(None) };
        let to = self.addressee(&told);
        let delivered = self.deliver_by(channel, &told, to, stop).await;
        let then = if *channel == Channel::Log { self.channels.after_log(to) } else { Vec::new() };
        let which: Vec<Which> = match &told {
            Told::Webhooks(alerts) => alerts.iter().map(|alert| (alert.key, alert.id)).collect(),
            Told::Server(alert) => vec![(key, alert.id)],
        };
        let again = self.note_surely(&which, channel, &delivered, &then, stop).await?;
        if let Err(undelivered) = &delivered {
            for ((_, id), again) in which.into_iter().zip(again) {
                alert_log::undelivered(id, channel, undelivered, again);
            }
        }
        if !then.is_empty() {
            self.written.send_modify(|count| *count += 1);
        }
        Ok(delivered.err().and_then(|undelivered| undelivered.rests(self.clock.now())))
    }

    /// All alerts that go in one message with this one; `None` if it waits, or something unsent is over.
    async fn gather(&self, key: AlertKey, channel: &Channel) -> Result<Option<Told>> {
        let (now, gather, own) = (self.clock.now(), self.channels.gather, channel.clone());
        let together = self.db.read(move |view| gathered_alerts::look(view, key, &own, gather, now)).await?;
        let own = channel.clone();
        match together {
            Together::Wait(group, until) => {
                let wait = move |tx: &Tx<'_>| gathered_alerts::wait(tx, &group, &own, until);
                self.db.write(Actor::Engine, Admission::Wait, wait).await.map(|()| None)
            }
            Together::Drop(over) => {
                let drop_all = move |tx: &Tx<'_>| gathered_alerts::drop_all(tx, &over, &own);
                self.db.write(Actor::Engine, Admission::Wait, drop_all).await.map(|()| None)
            }
            Together::Go(keys) => {
                let read =
                    |view: &View<'_>| keys.into_iter().filter_map(|key| alerts::read(view, key).transpose()).collect();
                let all: Vec<Alert> = self.db.read(read).await?;
                Ok((!all.is_empty()).then_some(Told::Webhooks(all)))
            }
        }
    }

    /// Notes the result of a try, however long the database takes no writes: a message must not be sent twice only
    /// because of that. Returns when each alert is tried again.
    async fn note_surely(
        &self,
        which: &[Which],
        channel: &Channel,
        delivered: &Delivered,
        then: &[Channel],
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<Option<Timestamp>>> {
        loop {
            match self.note(which.to_vec(), channel, delivered.clone(), then.to_vec()).await {
                Ok(again) => return Ok(again),
                Err(error) => {
                    tracing::error!(%error, "an alert cannot be noted as told until the database takes writes");
                    if self.pause(AFTER_A_FAULT, &mut stop.clone()).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The address that an alert is mailed to: the account's, or else the operator's.
    fn addressee<'a>(&'a self, told: &'a Told) -> Option<&'a str> {
        let own = match told {
            Told::Webhooks(alerts) => alerts.first().and_then(|alert| alert.addressee.as_deref()),
            Told::Server(_) => None,
        };
        own.or(self.channels.operator.as_deref())
    }

    /// Writes the result of a try and the next channels, of all alerts of a message or of none; returns when each is
    /// tried again.
    async fn note(
        &self,
        which: Vec<Which>,
        channel: &Channel,
        delivered: Delivered,
        then: Vec<Channel>,
    ) -> Result<Vec<Option<Timestamp>>> {
        let channel = channel.clone();
        let note = move |tx: &Tx<'_>, of| match &delivered {
            Ok(()) => alerts::delivered(tx, of, &channel, &then).map(|()| None),
            Err(undelivered) => {
                let again = |tries, created_at| undelivered.again(tries, created_at, tx.now);
                alerts::not_delivered(tx, of, &channel, undelivered.words(), again)
            }
        };
        let note_all = move |tx: &Tx<'_>| which.into_iter().map(|of| note(tx, of)).collect();
        self.db.write(Actor::Engine, Admission::Wait, note_all).await
    }

    /// The words of an alert about an endpoint; `None` if its vendor is not served any more.
    fn message<'a>(&'a self, alert: &'a Alert) -> Option<AlertMessage<'a>> {
        let Channels { base, zone, .. } = &self.channels;
        self.profiles.get(&alert.profile).map(|profile| AlertMessage { alert, profile, base, zone })
    }

    async fn deliver_by(
        &self,
        channel: &Channel,
        told: &Told,
        to: Option<&str>,
        stop: &watch::Receiver<bool>,
    ) -> Delivered {
        // A setting that is changed now may be changed again soon.
        let refused = |reason: &str| Err(Undelivered::Refused(reason.to_owned()));
        let words = match told {
            Told::Webhooks(alerts) => {
                let messages = alerts.iter().map(|alert| self.message(alert)).collect::<Option<Vec<_>>>();
                match messages.as_deref() {
                    Some([message]) if *channel == Channel::Log => {
                        alert_log::webhook(message, to);
                        return Ok(());
                    }
                    Some([message]) => message.words(),
                    Some([first, others @ ..]) => digest(first, others),
                    Some([]) => return refused("it is gone"),
                    None => return refused("its vendor is not served any more"),
                }
            }
            Told::Server(alert) => alert.words(&self.channels.base, &self.channels.zone),
        };
        let at = self.clock.now().checked().map_err(|error| Undelivered::Later(error.to_string()))?;
        match channel {
            Channel::Log => {
                alert_log::server(&words, to);
                Ok(())
            }
            Channel::Mail => match (&self.channels.mailer, to, told) {
                (Some(mailer), Some(to), _) => mailer.deliver(to, &words, at).await,
                (None, ..) => refused("alerts.smtp_url is empty now"),
                (_, None, Told::Server(_)) => refused("alerts.operator_email is empty now"),
                (_, None, Told::Webhooks(_)) => {
                    refused("neither the account nor alerts.operator_email has an address now")
                }
            },
            Channel::Post(name) => match self.channels.post(name) {
                Some(post) => unless_stopped(post.deliver(&self.channels.poster, &words, at), stop).await,
                None => refused("the channel is not set up any more"),
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
