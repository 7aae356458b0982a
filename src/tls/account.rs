//! The account at an authority: made once, and kept in a file.

use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use serde::Deserialize;

use super::client::Client;
use crate::{config, store::TlsFiles};

/// The file of the account, with its private key.
const FILE: &str = "account.json";

/// The directory to which an account belongs.
#[derive(Deserialize)]
struct Belongs {
    directory: String,
}

/// The stored account, if it belongs to this directory.
fn stored(files: &TlsFiles, directory: &str) -> Option<AccountCredentials> {
    let text = files.read(FILE).ok().flatten()?;
    let belongs: Belongs = serde_json::from_slice(&text).ok()?;
    (belongs.directory == directory).then(|| serde_json::from_slice(&text).ok())?
}

/// Whether there is an account at this directory.
pub(super) fn is_at(files: &TlsFiles, directory: &str) -> bool {
    stored(files, directory).is_some()
}

/// The account at the directory of the settings; without one, makes one.
///
/// # Errors
/// A directory that does not answer, or that refuses; a file that cannot be written.
pub(super) async fn open(settings: &config::Tls, files: &TlsFiles, client: &Client) -> Result<Account, Error> {
    let builder = Account::builder_with_http(Box::new(client.clone()));
    if let Some(credentials) = stored(files, &settings.directory) {
        return builder.from_credentials(credentials).await;
    }
    let contact: Vec<&str> =
        Some(settings.contact.as_str()).filter(|contact| !contact.is_empty()).into_iter().collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&wanted, settings.directory.clone(), None).await?;
    let text = zeroize::Zeroizing::new(serde_json::to_vec(&credentials)?);
    files.write(FILE, &text).map_err(|error| Error::Other(error.into()))?;
    Ok(account)
}

/// Forgets the account: the authority does not know it any more.
pub(super) fn forget(files: &TlsFiles) {
    // One that cannot be removed is tried again.
    drop(files.remove(FILE));
}
