//! Reads the settings: defaults, file, environment.

use std::path::{Path, PathBuf};

use figment::{
    Figment, Metadata,
    providers::{Format, Serialized, Toml},
};

use super::{Config, ConfigError, DEFAULTS, LogFormat, flaw::explain, sources, warnings::exposed};

/// The port that an `https://` address need not name.
const HTTPS: u16 = 443;

impl Config {
    /// Reads the settings: defaults, then `file` (or else the file that `NGOMA_CONFIG` names, or the first usual one
    /// that exists), then the environment. Paths become relative to the file's folder.
    ///
    /// # Errors
    /// A file that cannot be read; an unknown key or a bad value, with its source and the expected value.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let file = sources::file(file)?;
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = &file {
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(sources::environment());
        if let Some(limit) = std::env::var_os("WEBHOOK_RETRY_MAX").filter(|limit| !limit.is_empty()) {
            let limit = limit.to_string_lossy().parse::<u32>().map_err(|_| {
                ConfigError(
                    "WEBHOOK_RETRY_MAX in the environment: expected the number of attempts, such as 3".to_owned(),
                )
            })?;
            let given = figment::Metadata::named("WEBHOOK_RETRY_MAX environment variable");
            figment = figment.merge(Named(given, Serialized::default("asg.max_attempts", limit)));
        }
        let mut config: Self = figment.extract().map_err(|error| ConfigError(explain(&figment, &error)))?;
        // Checked before the paths become relative to the folder, so that a message shows the given text.
        config.check_limits(&figment)?;
        let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        config.storage.path = folder.join(&config.storage.path);
        config.storage.key_file = folder.join(&config.storage.key_file);
        let tls = &mut config.tls;
        for path in [&mut config.egress.extra_ca, &mut tls.extra_ca, &mut tls.certificate, &mut tls.key] {
            if path.as_path() != Path::new("") {
                *path = folder.join(&path);
            }
        }
        if let (Some(name), "") = (tls.domains.first(), config.server.public_url.as_str()) {
            // By ACME clients reach port 443, whatever it is here.
            let port = config.server.listen.port();
            let port = if tls.has_files() && ![0, HTTPS].contains(&port) { format!(":{port}") } else { String::new() };
            config.server.public_url = format!("https://{name}{port}");
        }
        config.read_secret_files(file.as_deref())?;
        config.file = file;
        config.exposed = exposed(&figment);
        config.ignored = sources::ignored();
        Ok(config)
    }

    /// The folder for backups.
    pub fn backup_folder(&self) -> PathBuf {
        self.storage.path.parent().unwrap_or(Path::new("")).join(&self.backup.folder)
    }

    /// What says where the database is, in words.
    pub fn source_of_database(&self) -> String {
        match (sources::variable("storage.path"), &self.file) {
            (Some(variable), _) => format!("the variable {variable}"),
            (None, Some(file)) => format!("the settings in {}", file.display()),
            (None, None) => format!("the built-in settings, as there is no {}", sources::USUAL_FILES.join(" and no ")),
        }
    }

    /// The form of log lines. It is known even if the other settings cannot be used: the log then says why.
    pub fn log_format(file: Option<&Path>) -> LogFormat {
        let of = |layers: Figment| layers.merge(sources::environment()).extract_inner("log.format").ok();
        let file = sources::file(file).ok().flatten();
        let given = file.and_then(|file| of(Figment::from(Toml::file_exact(file))));
        given.or_else(|| of(Figment::new())).unwrap_or(LogFormat::Text)
    }
}

/// A provider whose errors name another source.
struct Named(Metadata, Serialized<u32>);

impl figment::Provider for Named {
    fn metadata(&self) -> Metadata {
        self.0.clone()
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        self.1.data()
    }
}
