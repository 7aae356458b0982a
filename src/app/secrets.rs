//! The signing secrets of webhooks: a new one takes the place of the present one.

use super::{Access, Answer, App, Once, Webhooks, checked_webhook::new_secret, webhooks::find};
use crate::{
    domain::{
        endpoint::Endpoint,
        ids::EndpointId,
        signature::{SigningSecret, Switch},
        timestamp::Timestamp,
        token::Visible,
        version::IfMatch,
    },
    error::Result,
    store::{Tx, answers, endpoints, secrets},
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
    /// [`Conflict`](crate::error::Error::Conflict) if it has another secret by now, or, without [`Switch::Now`], while
    /// another former secret still signs.
    pub async fn rotate_secret(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        former: Option<String>,
        switch: Switch,
    ) -> Result<RotatedSecret> {
        let (id, access) = self.resolve(access, webhook)?;
        let rotate = self.rotation(id, Some(switch), IfMatch::default())?;
        let expected = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = find(tx, visible, id)?;
            former.map(|former| secrets::expect(tx, endpoint.key, &former)).transpose()?;
            rotate(tx, visible)
        };
        self.write(&access, expected).await
    }

    /// As [`App::rotate_secret`], for a request that may be repeated, and that may not say when the vendor's header
    /// changes.
    ///
    /// # Errors
    /// As [`App::rotate_secret`]; [`Conflict`](crate::error::Error::Conflict) also for another version;
    /// [`Invalid`](crate::error::Error::Invalid) if the key came before with another request.
    pub async fn rotate_secret_once(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        (switch, only_if): (Option<Switch>, IfMatch),
        once: Once<RotatedSecret>,
    ) -> Result<Answer> {
        let (id, access) = self.resolve(access, webhook)?;
        let rotate = self.rotation(id, switch, only_if)?;
        let rotate = move |tx: &Tx<'_>, visible: &Visible| {
            let owner = |tx: &Tx<'_>| answers::account_of(tx, endpoints::find(tx, visible, id)?.key);
            once.run(tx, owner, |tx| rotate(tx, visible))
        };
        self.write(&access, rotate).await
    }

    /// The work of a rotation.
    fn rotation(
        &self,
        id: EndpointId,
        switch: Option<Switch>,
        only_if: IfMatch,
    ) -> Result<impl FnOnce(&Tx<'_>, &Visible) -> Result<RotatedSecret> + Send + 'static> {
        let (secret, overlap) = (new_secret()?, self.secret_overlap());
        Ok(move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = find(tx, visible, id)?;
            only_if.check(&endpoint)?;
            let former_until = secrets::set(tx, &endpoint, &secret, overlap, switch)?.unwrap_or(tx.now);
            let profile = visible.profile.as_deref().unwrap_or_default().to_owned();
            let switch = switch.unwrap_or(Switch::Now);
            Ok(RotatedSecret { endpoint, profile, secret, former_until, switch })
        })
    }
}
