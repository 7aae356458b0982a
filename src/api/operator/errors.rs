//! The errors of the operator's routes.

use crate::api::openapi::{Failure, Shape};

/// The errors of these routes.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (403, "`FORBIDDEN`: the token lacks the scope `operator`."),
        (
            404,
            "`ACCOUNT_NOT_FOUND`, `TOKEN_NOT_FOUND`, `WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `RECOVERY_NOT_FOUND`, `NOT_FOUND`: the object does not exist.",
        ),
        (
            409,
            "`ALREADY_EXISTS`: an account with this id exists. `WEBHOOK_SUSPENDED`: resume the webhook first. `DELIVERY_IN_FLIGHT`, `DELIVERY_PENDING`: the delivery has not ended. `ALREADY_ENDED`: the delivery has ended, or its webhook is deleted. `LIMIT_REACHED`: ten of your recoveries go on.",
        ),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes."),
        (422, "Not used by these routes."),
    ];
}
