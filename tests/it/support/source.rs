//! The files of the project, as the checks of the tree read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files that git ignores: of a server that somebody tries in the working folder.
pub(crate) const IGNORED: [&str; 2] = ["ngoma.db", "ngoma.key"];

/// A source file: its lines; its code without comments; its bones, which are the code without the insides of strings.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) code: Vec<String>,
    pub(crate) bones: Vec<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project below a folder, built and hidden things left out, by its name from the top.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let skipped =
            name == "target" || name == ".git" || name == ".tools" || IGNORED.iter().any(|own| name.starts_with(own));
        if skipped {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let paths =
        files(&root().join(folder)).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        let (code, bones) = strip(&text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Source { name: name_of(&path), lines: lines(&text), code: lines(&code), bones: lines(&bones) }
    };
    let sources: Vec<Source> = paths.map(read).collect();
    assert!(!sources.is_empty(), "there is something to read in {folder}");
    sources
}

/// The text without comments, and without the insides of strings too. Lines keep their numbers.
pub(crate) fn strip(text: &str) -> (String, String) {
    let (mut code, mut bones) = (String::new(), String::new());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let in_word = code.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let hashes = rest[next.len_utf8()..].bytes().take_while(|byte| *byte == b'#').count();
        let raw = next == 'r' && !in_word && rest[1 + hashes..].starts_with('"');
        let length = if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        } else if raw {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if next == '"' {
            string_length(rest)
        } else if next == '\'' && rest[1..].starts_with(['"', '\\']) {
            // A quote, or an escape, between two apostrophes.
            2 + rest[2..].find('\'').map_or(0, |at| at + 1)
        } else {
            code.push(next);
            bones.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.push_str(&rest[..length]);
        bones.push_str("\"\"");
        bones.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    (code, bones)
}

/// The bytes of the string literal at the start of the text.
pub(crate) fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Fails with every violation: file, line, violation and remedy.
#[track_caller]
pub(crate) fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The lines that say one of the words, unless the file is among those that may.
pub(crate) fn sayings(lines: &[String], name: &str, words: &[&str], except: &[&str], remedy: &str) -> Vec<String> {
    if except.iter().any(|place| name.starts_with(place)) {
        return Vec::new();
    }
    let says = |line: &str| words.iter().find(|word| line.contains(*word)).copied();
    let numbered = lines.iter().enumerate();
    numbered
        .filter_map(|(number, line)| says(line).map(|word| format!("{name}:{}: says '{word}': {remedy}", number + 1)))
        .collect()
}

/// Where each function with a body begins, and how many lines it has.
pub(crate) fn functions(source: &Source) -> Vec<(usize, usize)> {
    let text = source.bones.join("\n");
    let starts = text.match_indices("fn ").filter(|(at, _)| {
        let before = text[..*at].chars().last();
        before.is_none_or(|c| c.is_whitespace() || c == '(')
    });
    let measure = |(at, _): (usize, &str)| {
        // A semicolon ends a declaration without a body, but not inside an array's type.
        let mut brackets = 0;
        let body = text[at..].char_indices().find_map(|(place, c)| {
            brackets += i32::from(matches!(c, '[' | '(')) - i32::from(matches!(c, ']' | ')'));
            (brackets == 0 && matches!(c, '{' | ';')).then_some(at + place)
        })?;
        if text[body..].starts_with(';') {
            return None;
        }
        let mut depth = 0;
        let end = text[body..].char_indices().find_map(|(place, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            (depth == 0).then_some(body + place)
        })?;
        Some((text[..at].matches('\n').count() + 1, text[at..end].matches('\n').count() + 1))
    };
    starts.filter_map(measure).collect()
}
