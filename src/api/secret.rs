//! The signing secret of a webhook that is registered or gets a new one.

use super::openapi::SecretText;
use crate::{domain::signature::SigningSecret, error::Result, store::random};

/// A signing secret, and whether it was made here: then, and only then, it is shown.
pub(crate) struct Secret {
    pub(crate) secret: SigningSecret,
    made: bool,
}

impl Secret {
    /// The subscriber's own secret, or a new one.
    pub(super) fn new(own: Option<SecretText>) -> Result<Self> {
        match own {
            Some(own) => Ok(Self { secret: own.read("Leave it out to have one made.")?, made: false }),
            None => Ok(Self { secret: SigningSecret::from_random(&*random()?), made: true }),
        }
    }

    /// The text that the answer shows: only of a secret that was made here.
    pub(crate) fn shown(&self) -> Option<SecretText> {
        self.made.then(|| SecretText(self.secret.expose().to_owned().into()))
    }
}
