//! The certificate through the years: read or got at the start, renewed in time, replaced without a restart.

use std::{path::Path, sync::Arc, time::Duration};

use instant_acme::Error as AcmeError;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    account, certificate::Certificate, client::Client, issue::issue, own_files::OwnFiles, presenter::Presenter,
    window::Window,
};
use crate::{
    clock::{self, SharedClock},
    config,
    domain::certificate::{Origin, ServedCertificate},
    error::{Error, Result},
    store::TlsFiles,
};

/// The file with key and chain.
const FILE: &str = "certificate.pem";
/// The waits after failed orders; the last one is repeated. Let's Encrypt takes five failures an hour of a name.
const WAITS: [Duration; 4] = [minutes(2), minutes(10), minutes(30), minutes(60)];
/// The longest sleep: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = minutes(60);
/// The most characters of an authority's own words that the operator gets.
const MOST_SAID: usize = 500;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// Where certificates come from.
enum Source {
    /// Files of the operator's.
    Files(OwnFiles),
    /// An authority.
    Authority(Client),
}

/// The certificate of a server, and what keeps it fresh.
pub struct Certificates {
    settings: config::Tls,
    files: TlsFiles,
    clock: SharedClock,
    source: Source,
    window: Window,
    present: Option<Certificate>,
}

impl Certificates {
    /// Those of these settings, for the server of this database; `None` without TLS.
    ///
    /// # Errors
    /// A file of the settings that cannot be used.
    pub fn new(settings: &config::Tls, database: &Path, clock: SharedClock) -> Result<Option<Self>> {
        if !settings.is_on() {
            return Ok(None);
        }
        let files = TlsFiles::beside(database);
        let (source, present, window) = if settings.has_files() {
            let own = OwnFiles::of(settings);
            let certificate = own.read().map_err(Error::request)?;
            let window = Window::new(own.name(), Origin::Files);
            (Source::Files(own), Some(certificate), window)
        } else {
            let client = Client::new(&settings.extra_ca)?;
            let window = Window::new(settings.domains.join(", "), Origin::Authority);
            (Source::Authority(client), stored(settings, &files)?, window)
        };
        present.iter().for_each(|certificate| window.show(certificate));
        Ok(Some(Self { settings: settings.clone(), files, clock, source, window, present }))
    }

    /// What shows the certificate to connections.
    pub(crate) fn presenter(&self) -> &Arc<Presenter> {
        self.window.presenter()
    }

    /// The state of the certificate, for those who watch the server.
    pub fn seen(&self) -> watch::Receiver<Option<ServedCertificate>> {
        self.window.seen()
    }

    /// Works until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.work() => {}
            // An order that is cut off is made again after the next start.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn work(self) {
        match self.source {
            Source::Files(own) => own.watch(&self.clock, &self.window).await,
            Source::Authority(ref client) => {
                let client = client.clone();
                self.renew(client).await;
            }
        }
    }

    async fn renew(mut self, client: Client) {
        let mut failures = 0;
        loop {
            let now = self.clock.now();
            let left =
                self.present.as_ref().map(|certificate| certificate.life.two_thirds().since(now)).unwrap_or_default();
            if !left.is_zero() {
                self.clock.sleep(now, left.min(LONGEST_SLEEP)).await;
                continue;
            }
            let wait = WAITS[WAITS.len().min(failures + 1) - 1];
            match self.order(&client).await {
                Ok(certificate) => {
                    let due = certificate.life.two_thirds();
                    tracing::info!(valid_until = %certificate.life.until, renewed_from = %due, "got a certificate for {}", self.names());
                    self.window.show(&certificate);
                    self.present = Some(certificate);
                    failures = 0;
                    if !due.since(self.clock.now()).is_zero() {
                        continue;
                    }
                    tracing::warn!("it must be renewed already: is the clock of this machine right?");
                }
                Err(error) => {
                    failures += 1;
                    self.complain(&error, wait);
                }
            }
            clock::until(&self.clock, self.clock.uptime() + wait).await;
        }
    }

    /// Gets a certificate, and keeps it in its file.
    async fn order(&self, client: &Client) -> Result<Certificate, AcmeError> {
        let pem = match self.try_order(client).await {
            Err(AcmeError::Api(problem)) if is(problem.r#type.as_deref(), "accountDoesNotExist") => {
                account::forget(&self.files);
                self.try_order(client).await
            }
            ordered => ordered,
        }?;
        let certificate = Certificate::read(pem.as_bytes(), pem.as_bytes());
        let certificate = certificate.map_err(|problem| AcmeError::Other(problem.into()))?;
        // It can be used even if the disk does not take it.
        if let Err(error) = self.files.write(FILE, pem.as_bytes()) {
            tracing::warn!(%error, "the certificate could not be kept: the next start orders another");
        }
        Ok(certificate)
    }

    async fn try_order(&self, client: &Client) -> Result<Zeroizing<String>, AcmeError> {
        let account = account::open(&self.settings, &self.files, client).await?;
        issue(&account, &self.settings.domains, self.window.presenter()).await
    }

    /// Says that no certificate was got, why, and what to do.
    fn complain(&self, error: &AcmeError, wait: Duration) {
        let (names, again) = (self.names(), humantime::format_duration(wait));
        let advice = match error {
            AcmeError::Api(problem) => self.advice(problem.r#type.as_deref()),
            _ => format!("can this machine reach {}?", self.settings.directory),
        };
        self.window.failed(told(error, &advice));
        let now = self.clock.now();
        match self.present.as_ref().map(|certificate| certificate.life.until) {
            Some(until) if until > now => tracing::warn!(
                reason = %error, valid_until = %until,
                "the certificate for {names} was not renewed: {advice} The present one is used; the next try is in {again}"
            ),
            Some(until) => tracing::error!(
                reason = %error, valid_until = %until,
                "the certificate for {names} has expired, and clients refuse it: {advice} The next try is in {again}"
            ),
            None => tracing::error!(
                reason = %error,
                "there is no certificate for {names} yet, and no client can connect: {advice} The next try is in {again}"
            ),
        }
    }

    /// What to do about a refusal of this type.
    fn advice(&self, problem: Option<&str>) -> String {
        if ["connection", "dns", "unauthorized", "tls"].iter().any(|kind| is(problem, kind)) {
            return format!(
                "does {} lead to this machine, and its port 443 to this server (server.listen), through every firewall?",
                self.names()
            );
        }
        if is(problem, "rateLimited") {
            return "the authority takes no more orders for now: wait, and change nothing in haste.".to_owned();
        }
        "the authority refused the order.".to_owned()
    }

    fn names(&self) -> String {
        self.settings.domains.join(", ")
    }
}

/// Why no certificate was got, in sentences for the operator: in the authority's own words, if it answered.
fn told(error: &AcmeError, advice: &str) -> String {
    let said = match error {
        AcmeError::Api(problem) => problem.detail.clone().unwrap_or_else(|| problem.to_string()),
        error => error.to_string(),
    };
    let who = if matches!(error, AcmeError::Api(_)) { "The authority said" } else { "The reason" };
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect();
    format!("{who}: {}. What to look at: {advice}", said.trim_end_matches('.'))
}

/// Whether a problem is of this type (RFC 8555, section 6.7).
fn is(problem: Option<&str>, kind: &str) -> bool {
    problem.and_then(|problem| problem.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
}

/// The stored certificate, if it is for these names and of this authority.
fn stored(settings: &config::Tls, files: &TlsFiles) -> Result<Option<Certificate>> {
    if !account::is_at(files, &settings.directory) {
        return Ok(None);
    }
    let Some(pem) = files.read(FILE)? else { return Ok(None) };
    match Certificate::read(&pem, &pem) {
        Ok(certificate) => Ok(Some(certificate).filter(|certificate| certificate.lacks(&settings.domains).is_none())),
        Err(problem) => {
            tracing::warn!(file = %files.path(FILE).display(), problem, "another certificate is ordered");
            Ok(None)
        }
    }
}
