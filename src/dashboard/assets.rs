//! The files that pages load.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::http::asset::Asset;

/// The style sheet of the dashboard, and of the guide.
pub(crate) const STYLE: &str = include_str!("style.css");
/// The same, as pages load it.
static COMPACT_STYLE: LazyLock<String> = LazyLock::new(|| compact(STYLE));
/// The script of the dashboard, as pages load it.
static SCRIPT: LazyLock<String> = LazyLock::new(|| compact(include_str!("app.js")));
/// The icon of the program.
pub(crate) const ICON: &str = include_str!("icon.svg");

/// The files that pages load. Their addresses name their content, so that a browser asks for each once.
pub(super) struct Assets {
    /// The mark of the style sheet's content.
    pub(super) style: &'static str,
    /// The mark of the script's content.
    pub(super) script: &'static str,
    /// The mark of the icon's content.
    pub(super) icon: &'static str,
    files: [(&'static str, Asset); 3],
}

/// The text without its indents and its lines of comments.
fn compact(text: &str) -> String {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn mark(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..6])
}

impl Assets {
    pub(super) fn new() -> Self {
        static STYLE_MARK: LazyLock<String> = LazyLock::new(|| mark(&COMPACT_STYLE));
        static SCRIPT_MARK: LazyLock<String> = LazyLock::new(|| mark(&SCRIPT));
        static ICON_MARK: LazyLock<String> = LazyLock::new(|| mark(ICON));
        Self {
            style: &STYLE_MARK,
            script: &SCRIPT_MARK,
            icon: &ICON_MARK,
            files: [
                ("/ui/style.css", Asset::new("text/css; charset=utf-8", || Ok(COMPACT_STYLE.clone())).immutable()),
                ("/ui/app.js", Asset::new("text/javascript; charset=utf-8", || Ok(SCRIPT.clone())).immutable()),
                ("/ui/icon.svg", Asset::new("image/svg+xml", || Ok(ICON.to_owned())).immutable()),
            ],
        }
    }

    pub(super) fn at(&self, path: &str) -> Option<&Asset> {
        self.files.iter().find(|(at, _)| *at == path).map(|(_, page)| page)
    }
}
