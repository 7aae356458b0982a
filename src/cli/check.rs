//! `ngoma check`: finds problems that would stop a start, and damage.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use serde_json::json;

use super::{
    database::{expect_secrets, expect_seen},
    output::{print_json, show},
    serve,
};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    domain::certificate::{Freshness, ServedCertificate},
    engine,
    error::{Error, Result},
    http::server::unbound,
    store,
    tls::Certificates,
};

/// Find problems that would stop a start, and damage; change nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma check\n  ngoma check --quick\n  ngoma --config /etc/ngoma/config.toml check && systemctl restart ngoma\n\nIt reads the settings as a start does, and looks at owners and modes of the files, the server's certificate, the whole database,\nthe checksum of each event body, and each signing secret. Run it as the server's user, or as root. It may run while the server runs.\nA database of an older version is fine: the next start brings it up to date."
)]
pub(super) struct Args {
    /// Do not compare indexes with their tables, which is faster for a large database.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Result<Config>) -> Result<()> {
    let config = &config.inspect_err(|error| {
        if args.json {
            let problems = [error.to_string()];
            print_json(&json!({ "database": null, "note": "not looked at", "warnings": [], "problems": problems }));
        }
    })?;
    expect_seen(config, "run this with sudo, or as the user of the server")?;
    let clock = SystemClock.now().checked().map(drop);
    let settings = [clock, expect_secrets(config), engine::check(config), serve::filter(config).map(drop)];
    let addresses =
        [Some((config.server.listen, "server.listen")), config.tls.http_listen.map(|at| (at, "tls.http_listen"))];
    let addresses = addresses.into_iter().flatten().map(|(at, key)| address(at, key));
    let mut problems: Vec<String> =
        settings.into_iter().chain(addresses).filter_map(|checked| Some(checked.err()?.to_string())).collect();
    let certificate = certificate(config);
    problems.extend(certificate.as_ref().err().map(ToString::to_string));
    let certificate = certificate.ok().flatten();
    let mut found = store::check(&config.storage, args.quick, show);
    show("");
    problems.append(&mut found.problems);
    let (database, note) = (config.storage.path.display(), if found.note.is_empty() { "ok" } else { &found.note });
    let now = SystemClock.now();
    let stale = certificate.as_ref().filter(|served| served.freshness(now) != Freshness::Fresh);
    let stale = stale.map(|served| format!("{}: {}", served.name, served.said(now)));
    let warnings: Vec<String> = config.warnings().into_iter().chain(found.warnings).chain(stale).collect();
    if args.json {
        let database = database.to_string();
        let life = certificate.as_ref().and_then(|served| served.life);
        let certificate = life.map(|life| json!({ "valid_until": life.until.to_string() }));
        print_json(
            &json!({ "database": database, "note": note, "certificate": certificate, "warnings": warnings, "problems": problems }),
        );
    } else {
        warnings.iter().for_each(|warning| say!("warning   {warning}"));
    }
    match problems.as_slice() {
        [] if args.json => Ok(()),
        [] => {
            let by = if config.storage.path.exists() {
                String::new()
            } else {
                format!(" (by {})", config.source_of_database())
            };
            confirm!("config    ok\ndatabase  {database}{by} {note}");
            if let Some(served) = certificate {
                confirm!("tls       {}: {}", served.name, served.said(now));
            }
            Ok(())
        }
        [problem] => Err(Error::Internal(problem.clone())),
        problems => Err(Error::Internal(format!("{} problems:\n  {}", problems.len(), problems.join("\n  ")))),
    }
}

/// The certificate that a start would show; `None` without TLS.
fn certificate(config: &Config) -> Result<Option<ServedCertificate>> {
    let certificates = Certificates::new(&config.tls, &config.storage.path, Arc::new(SystemClock))?;
    Ok(certificates.and_then(|certificates| certificates.seen().borrow().clone()))
}

/// Whether the address to listen on is one of this machine. The port may be the running server's.
fn address(listen: SocketAddr, key: &str) -> Result<()> {
    let bound = TcpListener::bind((listen.ip(), 0)).map(drop);
    bound.map_err(|error| unbound(listen, &error, key))
}
