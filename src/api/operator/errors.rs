//! The errors of the operator's routes.

use crate::api::openapi::{Failure, Shape};

/// The errors of these routes.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const HAS_CODES: bool = true;
}
