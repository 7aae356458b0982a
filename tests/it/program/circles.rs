//! The files of `src` import each other in no circle: so each can be read, and changed, with only the files below it.
//!
//! The finder reads `use` trees and the paths in the code. A name is followed through re-exports to the file that
//! defines it: a `mod.rs` that only passes a name on is no part of a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::support::source::{none, sources};

/// The place of a file in the tree of modules: `["api", "deps"]`; of `lib.rs`, nothing.
type Module = Vec<String>;

/// One import: the path as it is written, and the name that it gets here.
struct Import {
    path: Vec<String>,
    name: String,
    /// Whether others may import the name from here.
    is_public: bool,
}

/// The other files that a file names.
#[derive(Default)]
struct File {
    imports: Vec<Import>,
    /// The paths in its code, imports left out.
    paths: Vec<Vec<String>>,
    /// The words of its code that may name an import.
    words: BTreeSet<String>,
}

/// Every file, by its module.
struct Tree(BTreeMap<Module, File>);

/// Which file uses which, and by what.
type Edges = BTreeMap<Module, BTreeMap<Module, String>>;

/// The words and signs of a text that has no comments and no strings.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The imports of one use tree, which begins at this token and ends before a comma, a brace or a semicolon; and where
/// that is.
fn read_tree(tokens: &[&str], mut at: usize, head: &[String], is_public: bool, found: &mut Vec<Import>) -> usize {
    let mut path = head.to_vec();
    while let Some(token) = tokens.get(at).copied() {
        match token {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = read_tree(tokens, at, &path, is_public, found);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            "as" => {
                found.push(Import { name: tokens[at + 1].to_owned(), path, is_public });
                return at + 2;
            }
            "self" if !path.is_empty() => {}
            "," | "}" | ";" => break,
            part => path.push(part.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push(Import { path, name, is_public });
    at
}

impl File {
    fn read(text: &str) -> Self {
        let (tokens, mut file, mut at) = (tokens(text), Self::default(), 0);
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or(";", |before| tokens[before]);
            if tokens[at] == "use" && matches!(before, ";" | "{" | "}" | "]" | ")" | "pub") {
                at = read_tree(&tokens, at + 1, &[], matches!(before, ")" | "pub"), &mut file.imports);
                continue;
            }
            if is_name(tokens[at]) && before != "::" {
                let mut path = vec![tokens[at].to_owned()];
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_name(token)) {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                if path.len() == 1 {
                    // The name of a module, function, method or field is no use of another item with this name.
                    let is_other = matches!(before, "mod" | "fn" | "." | "let") || tokens.get(at + 1) == Some(&":");
                    file.words.extend(path.into_iter().filter(|_| !is_other));
                } else {
                    file.paths.push(path);
                }
            }
            at += 1;
        }
        file
    }
}

impl Tree {
    /// The tree of these files, by their names below `src`: `api/deps.rs`. Programs are left out.
    fn new<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let module = |name: &str| {
            let mut parts: Module = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            parts.pop_if(|last| *last == "mod");
            if parts == ["lib"] { Vec::new() } else { parts }
        };
        let files = files.into_iter().filter(|(name, _)| !matches!(*name, "main.rs" | "build.rs"));
        Self(files.map(|(name, text)| (module(name), File::read(&text))).collect())
    }

    /// The path of a name from the top, as far as it is one of this tree.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let below = |module: &[String], rest: &[String]| [module, rest].concat();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some(below(module, &path[1..])),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                Some(below(&module[..module.len().checked_sub(ups)?], &path[ups..]))
            }
            first if self.0.contains_key(&below(module, &path[..1])) && first != "Self" => Some(below(module, path)),
            _ => None,
        }
    }

    /// The file that defines what stands at a path from the top.
    fn definer(&self, path: &[String], tried: &mut BTreeSet<Vec<String>>) -> Option<Module> {
        if !tried.insert(path.to_vec()) {
            return None;
        }
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
        let (module, rest) = (path[..depth].to_vec(), &path[depth..]);
        let passed_on = rest.first().and_then(|name| {
            let imports = self.0[&module].imports.iter().filter(|import| import.name == *name);
            imports
                .filter_map(|import| self.absolute(&module, &import.path))
                .find_map(|target| self.definer(&[&target[..], &rest[1..]].concat(), tried))
        });
        Some(passed_on.unwrap_or(module))
    }

    /// Which file uses which.
    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, file) in &self.0 {
            let mut used = BTreeMap::new();
            let mut uses = |path: Vec<String>, written: &[String]| {
                let definer = self.definer(&path, &mut BTreeSet::new()).filter(|definer| definer != module);
                if let Some(definer) = definer {
                    used.entry(definer).or_insert_with(|| written.join("::"));
                }
            };
            let mut known = BTreeMap::new();
            for import in &file.imports {
                let Some(path) = self.absolute(module, &import.path) else { continue };
                // The import of a module uses the items that the file names by it, not those that it only passes on.
                if !self.0.contains_key(&path) && (!import.is_public || file.words.contains(&import.name)) {
                    uses(path.clone(), &import.path);
                }
                known.insert(&import.name, path);
            }
            for path in &file.paths {
                let by_import = known.get(&path[0]).map(|target: &Vec<String>| [&target[..], &path[1..]].concat());
                by_import.or_else(|| self.absolute(module, path)).into_iter().for_each(|target| uses(target, path));
            }
            edges.insert(module.clone(), used);
        }
        edges
    }
}

/// The shortest circle there is, as the files on it.
fn circle(edges: &Edges) -> Option<Vec<Module>> {
    let from = |start: &Module| {
        let (mut came_from, mut next) = (BTreeMap::new(), VecDeque::from([start.clone()]));
        while let Some(module) = next.pop_front() {
            for used in edges.get(&module).into_iter().flat_map(BTreeMap::keys) {
                if used == start {
                    let mut way = vec![module];
                    while let Some(before) = came_from.get(&way[0]).cloned() {
                        way.insert(0, before);
                    }
                    return Some(way);
                }
                if !came_from.contains_key(used) {
                    came_from.insert(used.clone(), module.clone());
                    next.push_back(used.clone());
                }
            }
        }
        None
    };
    edges.keys().filter_map(from).min_by_key(Vec::len)
}

/// Every circle, a line each. A circle that shares all of its imports with others is left out.
fn circles(tree: &Tree) -> Vec<String> {
    let (mut edges, mut found) = (tree.edges(), Vec::new());
    while let Some(way) = circle(&edges) {
        let steps = way.iter().zip(way.iter().cycle().skip(1)).map(|(one, other)| {
            let by = &edges[one][other];
            format!("{} uses {} ({by})", name(one), name(other))
        });
        found.push(steps.collect::<Vec<_>>().join(", "));
        for (one, other) in way.iter().zip(way.iter().cycle().skip(1)) {
            edges.get_mut(one).and_then(|used| used.remove(other));
        }
    }
    found
}

fn name(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

#[test]
fn the_files_of_src_import_each_other_in_no_circle() {
    let sources = sources("src");
    let files = sources.iter().map(|source| (source.name.trim_start_matches("src/"), source.bones.join("\n")));
    none(&circles(&Tree::new(files)));
}

fn of(files: &[(&'static str, &str)]) -> Vec<String> {
    circles(&Tree::new(files.iter().map(|(name, text)| (*name, (*text).to_owned()))))
}

#[test]
fn the_finder_of_circles_names_the_files_and_what_they_use() {
    let found = of(&[
        ("lib.rs", "mod one; mod two;"),
        ("one.rs", "use crate::{two::{Two, self}, other}; fn f() { two::f() }"),
        ("two.rs", "pub struct Two; fn f() { crate::one::f::<u8>() }"),
    ]);
    assert_eq!(found, ["one uses two (crate::two::Two), two uses one (crate::one::f)"]);
    let found = of(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; mod c; pub struct A(b::B);"),
        ("a/b.rs", "use super::c as see; pub struct B(see::C);"),
        ("a/c.rs", "pub use super::A; pub(crate) struct C(A);"),
    ]);
    assert_eq!(found, ["a uses a::b (b::B), a::b uses a::c (see::C), a::c uses a (super::A)"]);
}

#[test]
fn the_finder_of_circles_looks_through_re_exports() {
    let found = of(&[
        ("lib.rs", "mod a; mod main_door;"),
        ("a/mod.rs", "mod b; mod c; pub use self::{b::{b, B}, c::C as Sea}; use b::hidden; fn g() { x.b() }"),
        ("a/b.rs", "pub struct B; pub fn b(_: super::Sea) {} fn hidden() {} fn h() { Self::h(); std::mem::drop(1) }"),
        ("a/c.rs", "pub struct C { b: u8 }"),
        ("a/d.rs", "use super::{B, hidden}; pub struct D(B); fn f() { hidden() }"),
        ("main_door.rs", "use crate::a::Sea; fn f(_: Sea) -> impl Fn() + use<> { Sea::f }"),
    ]);
    assert_eq!(found, [] as [&str; 0]);
}
