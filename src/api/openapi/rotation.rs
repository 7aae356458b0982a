//! A new signing secret of a webhook, as every vendor's routes make it.

use poem_openapi::{ApiResponse, Object};
use serde::{Deserialize, Serialize};

use super::{Printed, SecretText, wire_enum};
use crate::{
    app::secrets,
    domain::{profile::Profiles, signature},
};

wire_enum! {
    /// When the platform's signature header changes to a new secret. `webhook-signature` has a signature of each secret during
    /// the overlap, whichever it is.
    SecretSwitch ("snake_case") of signature::Switch {
        /// At once.
        Now => Now,
        /// When the overlap has ended. Until then the former secret signs it.
        AfterOverlap => AfterOverlap,
    }
}

/// How to change to a new secret.
#[derive(Debug, Default, Deserialize, Object)]
#[oai(rename = "SecretRotationInput")]
pub(crate) struct SecretRotation {
    /// When the platform's signature header changes to the new secret: `now`, or `after_overlap`. Default: `now`, unless
    /// another former secret still signs; then the answer is 409.
    switch: Option<SecretSwitch>,
}

impl SecretRotation {
    /// When the vendor's header changes, if that was said.
    pub(crate) fn switch(&self) -> Option<signature::Switch> {
        self.switch.map(Into::into)
    }
}

/// A new signing secret.
#[derive(Serialize, Object)]
pub(crate) struct RotatedSecret {
    /// The webhook.
    webhook_id: String,
    /// The secret. It is never shown again.
    secret: SecretText,
    /// When the platform's signature header changes to it.
    switch: SecretSwitch,
    /// Until then the former secret signs too: RFC 3339, UTC.
    former_valid_until: String,
}

impl RotatedSecret {
    pub(crate) fn new(rotated: &secrets::RotatedSecret, profiles: &Profiles) -> Self {
        Self {
            webhook_id: profiles.on_wire(&rotated.profile, rotated.endpoint.id),
            secret: SecretText::from(&rotated.secret),
            switch: rotated.switch.into(),
            former_valid_until: rotated.former_until.to_string(),
        }
    }
}

/// The answer to a rotation.
#[derive(ApiResponse)]
pub(crate) enum Rotated {
    /// The webhook has a new secret. Only this answer shows it.
    #[oai(status = 201)]
    Made(Printed<RotatedSecret>),
}
