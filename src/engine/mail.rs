//! Mail: one mail at a time, each over a connection of its own. lettre never leaves this file and that of
//! its connection.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        extension::ClientId,
    },
};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use url::{Host, Url};

use super::{
    egress::Guard,
    mail_stream,
    tls::{authorities, client_config},
};
use crate::{
    clock::SharedClock,
    config::{self, Secret},
    domain::{alert::Undelivered, alert_words::AlertWords, excerpt::excerpt, ids::AlertId, timestamp::Timestamp},
    error::{Error, Result},
};

/// How long one address of the server may take to answer before the next is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// How long connecting and signing in may take.
const ENTRY: Duration = Duration::from_secs(30);
/// How long the server may take to accept a mail. RFC 5321 (4.5.3.2.6) allows ten minutes: a client that hangs up
/// before the answer sends the mail again.
const TAKING: Duration = Duration::from_secs(300);
/// How long all of that may take for a test: a person waits for the answer.
const TEST: Duration = Duration::from_secs(20);
/// How long the server's QUIT answer is waited for after it has accepted the mail.
const FAREWELL: Duration = Duration::from_secs(1);

/// The forms of `alerts.smtp_url`.
const EXPECTED: &str =
    "expected smtps://USER:PASSWORD@mail.example, smtp://USER:PASSWORD@mail.example?tls=required or smtp://localhost";

/// A mail.
struct Mail<'a> {
    to: &'a str,
    id: AlertId,
    at: Timestamp,
    subject: &'a str,
    text: String,
}

/// A mail server, and how to use it.
pub(super) struct Mailer {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    host: String,
    port: u16,
    security: Security,
    hello: ClientId,
    sign_in: Option<(String, Secret)>,
    guard: Guard,
    clock: SharedClock,
}

type Done<T> = std::result::Result<T, Undelivered>;

enum Security {
    Plain,
    StartTls(TlsParameters),
    Tls(Arc<ClientConfig>),
}

impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Mailer {
    /// The mailer of these settings, which looks names up like the guard; `None` if there is no mail server.
    ///
    /// # Errors
    /// A setting that cannot be used, by its name and without its value.
    pub(super) fn of(
        settings: &config::Alerts,
        extra_ca: &Path,
        guard: &Guard,
        clock: &SharedClock,
    ) -> Result<Option<Self>> {
        let from = settings.from.parse().map_err(|_| {
            Error::request(format!("alerts.from is '{}': expected name@host or Name <name@host>", settings.from))
        })?;
        let reply_to = Some(settings.reply_to.trim()).filter(|text| !text.is_empty()).map(str::parse).transpose();
        let reply_to = reply_to.map_err(|_| {
            let given = &settings.reply_to;
            Error::request(format!("alerts.reply_to is '{given}': expected name@host or Name <name@host>"))
        })?;
        if settings.smtp_url.is_empty() {
            return Ok(None);
        }
        let unusable = |problem: &str| Error::request(format!("alerts.smtp_url cannot be used: {problem}"));
        let url = Url::parse(settings.smtp_url.expose()).map_err(|_| unusable(EXPECTED))?;
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(unusable("it names no host")),
        };
        let start_tls = || trusted(&host, extra_ca).map_err(|problem| unusable(&problem));
        let (security, usual_port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Security::Tls(client_config(extra_ca)?), 465),
            ("smtp", Some("tls=required")) => (Security::StartTls(start_tls()?), 587),
            ("smtp", None) => (Security::Plain, 25),
            _ => return Err(unusable(EXPECTED)),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        let sign_in = match (decoded(url.username()), url.password().map(decoded)) {
            (Ok(user), None) if user.is_empty() => None,
            (Ok(user), Some(Ok(password))) => Some((user, password.into())),
            _ => return Err(unusable("expected both a user name and a password, or none, percent-encoded UTF-8")),
        };
        if sign_in.is_some() && matches!(security, Security::Plain) && !is_loopback(&host) {
            return Err(unusable("a password would be sent in the clear: use smtps:// or add ?tls=required"));
        }
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) => {
                ClientId::Domain(name.to_owned())
            }
            _ => return Err(unusable("its path, the name given in EHLO, is no host name")),
        };
        let port = url.port().unwrap_or(usual_port);
        let (guard, clock) = (guard.clone(), SharedClock::clone(clock));
        Ok(Some(Self { from, reply_to, host, port, security, hello, sign_in, guard, clock }))
    }

    /// Mails these words to this address.
    pub(super) async fn deliver(&self, to: &str, words: &AlertWords, at: Timestamp) -> Done<()> {
        self.send(&Mail { to, id: words.id, at, subject: &words.subject, text: words.mail.clone() }).await
    }

    /// Mails a test to this address.
    pub(super) async fn test(&self, to: &str, words: &AlertWords, at: Timestamp) -> Done<()> {
        self.within(TEST, "take it", self.deliver(to, words, at)).await
    }

    /// Hands a mail to the server. On success the server has accepted it.
    async fn send(&self, mail: &Mail<'_>) -> Done<()> {
        let (envelope, bytes) = self.compose(mail)?;
        let mut connection = self.within(ENTRY, "let us in", self.enter()).await?;
        let taken = async {
            let answer = connection.send(&envelope, &bytes).await;
            answer.map_err(|error| match error.is_permanent() || error.is_client() {
                true => Undelivered::Refused(format!("{self} refused it: {}", excerpt(&shown(&error)))),
                false => self.failed("handing it to", &error),
            })
        };
        self.within(TAKING, "take it", taken).await?;
        // The mail is sent, whether or not the server says goodbye.
        let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        Ok(())
    }

    /// Cuts a step off after its time limit.
    async fn within<T>(&self, limit: Duration, step: &str, work: impl Future<Output = Done<T>>) -> Done<T> {
        let begun = self.clock.uptime();
        let over = async {
            let mut left = limit;
            while !left.is_zero() {
                self.clock.sleep(self.clock.now(), left).await;
                left = limit.saturating_sub(self.clock.uptime().saturating_sub(begun));
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = over => {
                let limit = humantime::format_duration(limit);
                Err(Undelivered::Later(format!("the mail server {self} did not {step} within {limit}")))
            }
        }
    }

    fn compose(&self, mail: &Mail<'_>) -> Done<(Envelope, Vec<u8>)> {
        let plain = !mail.to.contains(|c: char| c.is_control() || c.is_whitespace());
        let to = mail.to.parse::<Address>().ok().filter(|_| plain);
        let to = to.ok_or_else(|| Undelivered::Refused("the account's alert e-mail is no address".to_owned()))?;
        let millis = u64::try_from(mail.at.millis()).unwrap_or(0);
        let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut message = Message::builder().from(self.from.clone());
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let message = message
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .date(UNIX_EPOCH + Duration::from_millis(millis))
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .raw_header(HeaderValue::new(auto, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|error| Undelivered::Refused(format!("it cannot be written as a mail: {error}")))?;
        Ok((message.envelope().clone(), message.formatted()))
    }

    fn failed(&self, step: &str, error: &impl fmt::Display) -> Undelivered {
        Undelivered::Later(format!("{step} {self} failed: {}", excerpt(&shown(error))))
    }

    /// The addresses of the server.
    async fn addresses(&self) -> Done<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        let (guard, host, port) = (self.guard.clone(), self.host.clone(), self.port);
        let found = tokio::task::spawn_blocking(move || guard.look_up(&host, port, CONNECT)).await;
        match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Undelivered::Later(format!("looking up {self} failed: {error}"))),
            Err(_) => Err(Undelivered::Later("looking up panicked".to_owned())),
        }
    }

    /// Connects, and signs in.
    async fn enter(&self) -> Done<AsyncSmtpConnection> {
        let tls = match &self.security {
            Security::Tls(config) => Some((config, self.host.as_str())),
            _ => None,
        };
        let addresses = self.addresses().await?;
        let stream = mail_stream::connect(&addresses, CONNECT, tls).await;
        let stream = stream.map_err(|error| self.failed("connecting to", &error))?;
        let connected = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await;
        let mut connection = connected.map_err(|error| self.failed("connecting to", &error))?;
        if let Security::StartTls(tls) = &self.security {
            let started = connection.starttls(tls.clone(), &self.hello).await;
            started.map_err(|error| self.failed("STARTTLS with", &error))?;
        }
        if let Some((user, password)) = &self.sign_in {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| match error.status() {
                // The server's reply is left out: it may repeat the user name or the password.
                Some(code) => Undelivered::Later(format!("{self} refused the user name or the password ({code})")),
                None if error.is_client() => self.failed("signing in to", &error),
                None => Undelivered::Later(format!("signing in to {self} failed")),
            })?;
        }
        Ok(connection)
    }
}

/// TLS that trusts the public authorities and those of `egress.extra_ca`.
fn trusted(host: &str, extra_ca: &Path) -> std::result::Result<TlsParameters, String> {
    let mut tls = TlsParameters::builder(host.to_owned());
    if extra_ca != Path::new("") {
        tls = tls.certificate_store(CertificateStore::None);
        for der in authorities("egress.extra_ca", extra_ca).map_err(|error| error.to_string())? {
            tls = tls.add_root_certificate(Certificate::from_der(der).map_err(|error| error.to_string())?);
        }
    }
    tls.build().map_err(|error| error.to_string())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A server's words on one line.
fn shown(error: &impl fmt::Display) -> String {
    error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
