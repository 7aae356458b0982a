//! `ngoma openapi`: the contract.

use crate::{api, error::Result};

/// Print the contract (OpenAPI 3.1), as it is served at /openapi.json
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ngoma openapi > openapi.json")]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> Result<()> {
    say!("{}", api::contract()?.trim_end());
    Ok(())
}
