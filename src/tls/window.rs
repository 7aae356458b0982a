//! What is seen of the certificate: by connections, and by those who watch the server.

use std::sync::Arc;

use tokio::sync::watch;

use super::{certificate::Certificate, presenter::Presenter};
use crate::domain::certificate::{Origin, ServedCertificate};

/// Shows a certificate to connections, and its state to those who watch.
#[derive(Debug)]
pub(super) struct Window {
    presenter: Arc<Presenter>,
    seen: watch::Sender<Option<ServedCertificate>>,
}

impl Window {
    /// A window without a certificate, for these names or this file.
    pub(super) fn new(name: String, origin: Origin) -> Self {
        let served = ServedCertificate { name, origin, life: None, failed: None };
        Self { presenter: Arc::default(), seen: watch::Sender::new(Some(served)) }
    }

    pub(super) fn presenter(&self) -> &Arc<Presenter> {
        &self.presenter
    }

    pub(super) fn seen(&self) -> watch::Receiver<Option<ServedCertificate>> {
        self.seen.subscribe()
    }

    /// Shows this one from now on.
    pub(super) fn show(&self, certificate: &Certificate) {
        self.presenter.show(Arc::clone(&certificate.shown));
        self.seen.send_modify(|seen| {
            seen.iter_mut().for_each(|seen| (seen.life, seen.failed) = (Some(certificate.life), None));
        });
    }

    /// Says why the present one could not be replaced: a sentence for the operator.
    pub(super) fn failed(&self, why: String) {
        self.seen.send_modify(|seen| seen.iter_mut().for_each(|seen| seen.failed = Some(why.clone())));
    }
}
