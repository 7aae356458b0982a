//! The metrics in the older text format of Prometheus: some programs read only that.

use std::collections::HashMap;

/// Its content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes a text of the OpenMetrics format in the text format.
///
/// The two differ in the lines that begin with `#`. The text format names a counter as its samples are named, has no
/// kind `info`, no units and no end.
pub(super) fn of(open_metrics: &str) -> String {
    let kinds: HashMap<&str, &str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let words = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let about = words.and_then(|(word, rest)| Some((word, rest.split_once(' ')?)));
        match about {
            Some((word @ ("HELP" | "TYPE"), (name, rest))) => {
                let (ending, kind) = match kinds.get(name) {
                    Some(&"counter") => ("_total", "counter"),
                    Some(&"info") => ("_info", "gauge"),
                    _ => ("", rest),
                };
                let rest = if word == "TYPE" { kind } else { rest };
                text += &format!("# {word} {name}{ending} {rest}\n");
            }
            _ if line.starts_with('#') => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}
