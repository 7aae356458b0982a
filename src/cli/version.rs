//! The version of the program.

/// The version and, if it was built in a checkout, the commit.
pub(super) const VERSION: &str = env!("NGOMA_VERSION");
