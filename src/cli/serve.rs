//! `ngoma serve`: the server.

use std::{net::SocketAddr, process};

use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

use super::{
    database::{expect_secrets, expect_seen},
    descriptors, log,
    manner::is_quiet,
    start, supervisor,
    version::VERSION,
    wrong::wrong,
};
use crate::{
    api::profiles,
    config::{Config, command, socket_address},
    domain::{
        audit::Actor,
        token::{BearerToken, Scopes},
    },
    engine::alerts::ALERT,
    error::{Error, Result},
    server::{self, Outside},
    store::{
        self, Admission, Db, Tx, accounts,
        tokens::{self, Holder},
    },
};

/// The label of the tokens that `--dev` makes: the next `--dev` revokes them.
const DEV_LABEL: &str = "dev";

/// Run the server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma serve --dev                         try it on this machine\n  ngoma serve --listen 0.0.0.0:8080\n  NGOMA_STORAGE__PATH=/var/lib/ngoma/ngoma.db ngoma serve\n\nSIGTERM and Ctrl-C stop the server gracefully; a second one stops it at once. SIGHUP changes nothing: settings are read\nat a start only."
)]
pub(super) struct Args {
    /// Try the server on this machine: it takes http:// and loopback targets, makes a demo account for each profile,
    /// prints new tokens for these accounts and for the operator, and makes no backups. It listens on this machine only.
    #[arg(long)]
    dev: bool,
    /// The address and port to listen on, instead of server.listen.
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    listen: Option<SocketAddr>,
}

/// What a person does who tries Ngoma where it runs as a service, whose data only its own user may see.
const BESIDE: &str = "to start the service, run 'sudo systemctl start ngoma'; to try Ngoma beside it, run \
                      'ngoma serve --dev --listen 127.0.0.1:8081' in a folder with a config.toml of its own, which may be empty";

pub(super) fn run(args: Args, mut config: Config) -> Result<()> {
    expect_seen(&config, BESIDE)?;
    if args.dev && config.is_of_service() {
        return Err(Error::request(format!(
            "--dev is to try Ngoma, and {} would be tried on: {BESIDE}",
            config.storage.path.display()
        )));
    }
    expect_secrets(&config)?;
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    if args.dev {
        if !config.server.listen.ip().is_loopback() {
            return Err(wrong(format!(
                "--dev opens this machine to everybody who has a printed token: listen on 127.0.0.1, not on {}",
                config.server.listen
            )));
        }
        config.become_dev();
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::Internal(error.to_string()))?;
    // With a handler for its signal, a file that has reached its size limit does not end the process: the write fails.
    runtime.block_on(async { heard(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop) })?;
    log::subscribe(filter(&config)?);
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    descriptors::provide(&mut config)?;
    let served = runtime.block_on(serve(config, args.dev));
    // A sending thread may hang in a look-up, so the end does not wait for it.
    runtime.shutdown_background();
    served
}

fn heard(kind: SignalKind) -> Result<unix::Signal> {
    signal(kind).map_err(|error| Error::Internal(error.to_string()))
}

async fn serve(config: Config, dev: bool) -> Result<()> {
    // Before the server is visible: an early signal stops it too.
    let [mut terminate, mut interrupt, mut quit] =
        [supervisor::heard(Signal::TERM)?, supervisor::heard(Signal::INT)?, supervisor::heard(Signal::QUIT)?];
    supervisor::ignore_others()?;
    let settings = config.clone();
    let server = server::prepare(config, Outside::default()).await?;
    tracing::info!("ngoma {VERSION} serves at {}://{}", settings.tls.scheme(), server.address());
    if !is_quiet() {
        start::print(&server, &settings, server.db().write(Actor::Engine, Admission::Try, store::durability).await?);
    }
    if dev {
        print_demo(server.db(), &settings).await?;
    } else if !is_quiet() {
        print_first_steps(server.db()).await?;
    }
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for count in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
            if count > 0 {
                process::exit(1);
            }
            tracing::info!(
                "stopping: attempts and requests under way may end, 10 s at most; a second signal stops at once"
            );
            supervisor::stopping();
            stop.send_replace(true);
        }
    });
    tokio::spawn(supervisor::report(server.status()));
    server.run(stopped).await
}

/// The filter of the log.
///
/// # Errors
/// A log.level that cannot be read.
pub(super) fn filter(config: &Config) -> Result<EnvFilter> {
    // The info lines of libraries repeat ours. Alerts are logged at every level. At none is the address of a request
    // printed: that of a channel of alerts may hold a token.
    let directives = format!(
        "poem=warn,rusqlite_migration=warn,ureq=warn,ureq_proto=warn,hyper=warn,{}=warn,{},ureq::run=warn",
        ALERT, config.log.level
    );
    EnvFilter::try_new(directives).map_err(|_| {
        Error::request(format!("log.level is '{}': expected error, warn, info, debug or trace", config.log.level))
    })
}

/// Makes a demo account for each vendor, revokes the tokens of the last start, and prints a fresh one for each account
/// and one for the operator.
async fn print_demo(db: &Db, config: &Config) -> Result<()> {
    db.write(Actor::Engine, Admission::Try, |tx| tokens::revoke_labelled(tx, DEV_LABEL)).await?;
    let told = "a token of this start; the last start's is revoked";
    let mut rows = vec!["\nDemo accounts (this start's tokens; the last start's are revoked):".to_owned()];
    for profile in profiles(config).iter() {
        let name = profile.name;
        let id = format!("DEMO-{}", name.to_uppercase());
        let made = id.clone();
        // An account that is there already is fine.
        let _ = db.write(Actor::Engine, Admission::Try, move |tx| accounts::create(tx, name, &made, None)).await;
        let token = demo_token(db, Holder::Account(id.clone()), "webhooks,events").await?;
        if !log::print_object(told, &[("profile", name), ("account", &id), ("token", token.expose())]) {
            rows.push(format!("  {name:<11} account {id:<16} token {}", token.expose()));
        }
    }
    let token = demo_token(db, Holder::Operator, "operator").await?;
    if !log::print_object(told, &[("scope", "operator"), ("token", token.expose())]) {
        rows.push(format!("  operator    for the dashboard        token {}", token.expose()));
    }
    if rows.len() > 1 {
        say!("{}\n", rows.join("\n"));
    }
    Ok(())
}

/// Makes a token that the next start with `--dev` revokes.
async fn demo_token(db: &Db, holder: Holder, scopes: &str) -> Result<BearerToken> {
    let scopes = Scopes::parse(scopes)?;
    let make = move |tx: &Tx<'_>| tokens::create(tx, &holder, &scopes, Some(DEV_LABEL));
    Ok(db.write(Actor::Engine, Admission::Try, make).await?.1)
}

/// Without a token: the commands that make the first account and token.
async fn print_first_steps(db: &Db) -> Result<()> {
    let told = format!("there is no token yet: '{}' makes the first account, webhook and token", command("setup"));
    if db.read(tokens::list).await?.is_empty() && !is_quiet() && !log::print_object(&told, &[]) {
        say!("\nThere is no token yet. In another terminal:");
        say!(
            "  {}",
            command("setup --profile asilichain --account COOP-MBALE-001 --url https://erp.coop.example/hook")
        );
        say!("or step by step:");
        say!("  {}", command("account create --profile asilichain --id COOP-MBALE-001 --alert-email ops@coop.example"));
        say!("  {}", command("token create --account COOP-MBALE-001 --scope webhooks,events"));
    }
    Ok(())
}
