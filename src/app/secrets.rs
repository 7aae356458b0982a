//! The signing secrets of webhooks: a new one takes the place of the present one.

use super::{Access, App, Webhooks, checked_webhook::new_secret, webhooks::find};
use crate::{
    domain::{
        endpoint::Endpoint,
        signature::{SigningSecret, Switch},
        timestamp::Timestamp,
        token::AccessScope,
    },
    error::Result,
    store::{Tx, secrets},
};

/// A new secret of a webhook. It can be seen only now.
pub struct RotatedSecret {
    /// The webhook.
    pub endpoint: Endpoint,
    /// The profile of its vendor.
    pub profile: String,
    /// The secret.
    pub secret: SigningSecret,
    /// Until then the former secret signs too.
    pub former_until: Timestamp,
    /// When the vendor's header changes to it.
    pub switch: Switch,
}

impl App {
    /// Gives a webhook a new secret, in place of the one with this mark if one is given. The former secret signs too for a
    /// while.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for an unknown or deleted webhook;
    /// [`Conflict`](crate::error::Error::Conflict) if it has another secret by now, or, with [`Switch::AfterOverlap`],
    /// while another former secret still signs.
    pub async fn rotate_secret(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        former: Option<String>,
        switch: Switch,
    ) -> Result<RotatedSecret> {
        let (id, access) = self.resolve(access, webhook)?;
        let (secret, overlap) = (new_secret()?, self.secret_overlap());
        let rotate = move |tx: &Tx<'_>, scope: &AccessScope| {
            let endpoint = find(tx, scope, id)?;
            former.map(|former| secrets::expect(tx, endpoint.key, &former)).transpose()?;
            let former_until = secrets::set(tx, &endpoint, &secret, overlap, switch)?.unwrap_or(tx.now);
            let profile = scope.profile.as_deref().unwrap_or_default().to_owned();
            Ok(RotatedSecret { endpoint, profile, secret, former_until, switch })
        };
        self.write(&access, rotate).await
    }
}
