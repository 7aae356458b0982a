//! The facts about a server that has started: one block of text or, with a log in JSON, one object.

use std::{fs, time::Duration};

use super::{log, version::VERSION};
use crate::{
    api::profiles,
    config::{self, Config, Durability, Egress, Limits, Retention},
    domain::profile::{Profile, WhenExhausted},
    server::Server,
};

pub(super) fn print(server: &Server, config: &Config, durability: Durability) {
    let address = server.address();
    // Where people reach it, by a proxy or at the address itself.
    let base = match config.server.public_url.trim_end_matches('/') {
        "" => format!("{}://{address}", config.tls.scheme()),
        public => public.to_owned(),
    };
    let begun = format!("ngoma {VERSION} is ready");
    let mut facts = vec![
        ("address", format!("{}://{address}", config.tls.scheme())),
        ("dashboard", format!("{base}/ui")),
        ("docs", format!("{base}/docs")),
        ("database", database(config, durability)),
    ];
    facts.extend(profiles(config).iter().map(|profile| (profile.name, schedule(profile))));
    facts.extend([
        ("limits", limits(&config.server, &config.limits)),
        ("egress", egress(&config.egress)),
        ("retention", retention(config.retention)),
        ("backups", backups(config)),
        ("alerts", server.alerts().destinations()),
    ]);
    let facts: Vec<(&str, &str)> = facts.iter().map(|(name, fact)| (*name, fact.as_str())).collect();
    if !log::print_object(&begun, &facts) {
        let lines: Vec<String> = facts.iter().map(|(name, fact)| format!("  {name:<11}{fact}")).collect();
        say!("{begun}\n{}", lines.join("\n"));
    }
}

fn database(config: &Config, durability: Durability) -> String {
    let path = &config.storage.path;
    let durability = match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    };
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    format!("{} ({} MB, {durability} durability)", path.display(), bytes.div_ceil(1_000_000))
}

fn schedule(profile: &Profile) -> String {
    let retries = profile.retry.max_attempts.saturating_sub(1) as usize;
    let waits = profile.retry.waits.iter().map(|wait| humantime::format_duration(*wait).to_string());
    let waits: Vec<String> = waits.take(retries).collect();
    let again = if waits.len() < retries { " again and again" } else { "" };
    let then = match profile.when_exhausted {
        WhenExhausted::StayActive => "the delivery has failed",
        WhenExhausted::Suspend => "the webhook is suspended and its account is alerted",
        WhenExhausted::SuspendIfDead => {
            "the webhook is suspended and its account is alerted, unless something else was delivered meanwhile"
        }
    };
    let attempts = profile.retry.max_attempts;
    format!("{attempts} attempts, waits {}{again}; then {then}", waits.join(", "))
}

fn limits(server: &config::Server, limits: &Limits) -> String {
    let managing = match limits.requests_per_minute {
        0 => "any number of".to_owned(),
        number => number.to_string(),
    };
    format!(
        "an event {} KiB, a batch {} events and {} KiB; {managing} management requests a minute for a token; {} connections",
        server.max_body_bytes >> 10,
        limits.events_per_batch,
        server.max_batch_bytes >> 10,
        limits.connections,
    )
}

fn egress(egress: &Egress) -> String {
    let schemes = if egress.allow_http { "https:// and http://" } else { "https:// only" };
    let mut places: Vec<String> = egress.public.then(|| "public addresses".to_owned()).into_iter().collect();
    places.extend(egress.allow.iter().map(ToString::to_string));
    let places = if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") };
    format!("{schemes}, to {places}")
}

fn backups(config: &Config) -> String {
    let config::Backup { every, keep, .. } = config.backup;
    match every {
        Duration::ZERO => "none by itself".to_owned(),
        every => format!("every {}, the newest {keep} in {}", time(every), config.backup_folder().display()),
    }
}

fn time(time: Duration) -> String {
    const DAY: u64 = 86_400;
    match time.as_secs() {
        seconds if seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        _ => humantime::format_duration(time).to_string(),
    }
}

fn retention(retention: Retention) -> String {
    let ages = format!("delivered {}, undelivered {}", time(retention.delivered), time(retention.undelivered));
    match retention.max_database_bytes {
        0 => ages,
        most => format!("{ages}; delivered sooner beyond {} MB", most / 1_000_000),
    }
}
