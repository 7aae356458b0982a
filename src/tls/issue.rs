//! One order of a certificate: from the account to the chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::presenter::Presenter;

/// How long the authority may take to look at the server, and again to sign. It looks from several places.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_secs(90));

/// Orders a certificate for these names, and answers the challenges meanwhile. Gives its key and its chain as PEM.
///
/// # Errors
/// An authority that cannot be reached, or why it refused.
pub(super) async fn issue(
    account: &Account,
    names: &[String],
    presenter: &Presenter,
) -> Result<Zeroizing<String>, Error> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    prove(&mut order, presenter).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    presenter.end_challenges();
    match ready {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(why(&mut order).await),
        Err(error) => return Err(error),
    }
    let mut pem = Zeroizing::new(order.finalize().await?);
    pem.push_str(&order.poll_certificate(&PATIENCE).await?);
    Ok(pem)
}

/// Prepares the answers to the challenges, and tells the authority to look.
async fn prove(order: &mut Order, presenter: &Presenter) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // It remembers names that it looked at shortly before.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or(Error::Str("the authority does not offer the challenge tls-alpn-01"))?;
        let name = challenge.identifier().to_string();
        let proof = proof(&name, challenge.key_authorization().digest().as_ref());
        presenter.answer(name, proof.map_err(Error::Other)?);
        challenge.set_ready().await?;
    }
    Ok(())
}

/// The certificate that answers a challenge for a name (RFC 8737, section 3).
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not by the library's check: the extension is critical, and known to authorities only.
    Ok(CertifiedKey::new(chain, ring::sign::any_ecdsa_type(&key)?))
}

/// Why the authority refused an order, by its own report.
async fn why(order: &mut Order) -> Error {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(authorization) = authorization else { break };
        if let Some(problem) = authorization.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Error::Api(problem);
        }
    }
    Error::Str("the authority refused the order")
}
