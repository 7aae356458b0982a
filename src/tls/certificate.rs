//! A certificate with its chain and its key: its names, and its dates.

use std::{sync::Arc, time::Duration};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
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
    leaf: CertificateDer<'static>,
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
        let life = life(&read).ok_or("the certificate has no dates")?;
        Ok(Self { shown: Arc::new(shown), life, leaf })
    }

    /// The first of these names that it is not for; `None` if it is for each.
    pub(super) fn lacks<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        let is_for = |name: &str| {
            let (leaf, name) = (EndEntityCert::try_from(&self.leaf).ok()?, ServerName::try_from(name).ok()?);
            leaf.verify_is_valid_for_subject_name(&name).ok()
        };
        names.iter().map(String::as_str).find(|name| is_for(name).is_none())
    }
}

/// The time in which a certificate holds. The library does not show these dates, but it names them when it refuses a
/// certificate: in 1970 it is too early, and in the year 10000 too late, whatever its signature.
fn life(certificate: &EndEntityCert<'_>) -> Option<Life> {
    const AFTER: u64 = 253_402_300_800;
    let at = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let moment = |time: UnixTime| Some(Timestamp::from_millis(i64::try_from(time.as_secs()).ok()?.checked_mul(1000)?));
    let (webpki::Error::CertNotValidYet { not_before, .. }, webpki::Error::CertExpired { not_after, .. }) =
        (at(0)?, at(AFTER)?)
    else {
        return None;
    };
    Some(Life { from: moment(not_before)?, until: moment(not_after)? })
}
