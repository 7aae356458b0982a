//! A certificate with its chain and its key: its names, and its dates.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::domain::{certificate::Life, timestamp::Timestamp};

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// Chain and key, as connections use them.
    pub(super) shown: Arc<CertifiedKey>,
    /// The time in which it holds.
    pub(super) life: Life,
    names: BTreeSet<String>,
}

impl Certificate {
    /// Reads a chain and its key, each as PEM.
    ///
    /// # Errors
    /// The problem with the chain or the key, in words.
    pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("the chain cannot be read: {error}"))?;
        let leaf = chain.first().cloned().ok_or("it holds no certificate in PEM form")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key cannot be read: {error}"))?;
        let shown = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let shown = shown.map_err(|error| format!("certificate and key cannot be used together: {error}"))?;
        let unreadable = |error: webpki::Error| format!("the certificate cannot be read: {error}");
        let read = EndEntityCert::try_from(&leaf).map_err(unreadable)?;
        let names = read.valid_dns_names().map(str::to_owned).collect();
        let life = life(&read).ok_or("the certificate has no dates")?;
        Ok(Self { shown: Arc::new(shown), life, names })
    }

    /// Whether it is for each of these names.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

/// The time in which a certificate holds. The library does not show these dates, but it names them when it refuses a
/// certificate: in 1970 it is too early, and in the year 9999 too late, whatever its signature.
fn life(certificate: &EndEntityCert<'_>) -> Option<Life> {
    const LAST: u64 = 253_402_300_799;
    let at = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let moment = |time: UnixTime| Some(Timestamp::from_millis(i64::try_from(time.as_secs()).ok()?.checked_mul(1000)?));
    let (webpki::Error::CertNotValidYet { not_before, .. }, webpki::Error::CertExpired { not_after, .. }) =
        (at(0)?, at(LAST)?)
    else {
        return None;
    };
    Some(Life { from: moment(not_before)?, until: moment(not_after)? })
}
