//! The modules of a crate depend on each other without circles.
//!
//! A file depends on a module if it names the module, or an item of it, in a `use` or by a path that begins
//! with `crate`, `super` or `self`. An item that a module imports counts as an item of the module it comes
//! from. The graph of a directory has the files and directories in it for nodes. The file that declares the
//! modules of the directory is no node, because parents and children always know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::graph::{Graph, circles};
use crate::tokens::{tokens, without_tests};
use crate::{read, root, rust_files};

/// The place of a module below the root of its crate.
type Place = Vec<String>;

/// The modules of a crate.
#[derive(Debug, Default)]
struct Modules {
    /// The tokens of each module, without tests.
    texts: BTreeMap<Place, Vec<String>>,
    /// The names that `use` brings into each module, and the paths they stand for.
    imports: BTreeMap<Place, BTreeMap<String, Place>>,
}

/// A path as it is written, and the name under which `use` brings its end into the module.
#[derive(Debug, PartialEq)]
struct Named {
    path: Vec<String>,
    imported: Option<String>,
}

impl Modules {
    /// Reads the modules from their texts.
    fn new(texts: BTreeMap<Place, String>) -> Self {
        let mut all = Self::default();
        let mut tests = BTreeSet::new();
        for (place, text) in texts {
            let (kept, modules) = without_tests(&tokens(&text));
            tests.extend(modules.into_iter().map(|name| child(&place, &name)));
            inline(&place, &kept, &mut all.texts);
        }
        all.texts.retain(|place, _| !tests.iter().any(|test| place.starts_with(test)));
        for (place, text) in &all.texts {
            let imports = all.imports.entry(place.clone()).or_default();
            for named in names(text) {
                let Some(name) = named.imported else { continue };
                if let Some(path) = absolute(&all.texts, place, &named.path) {
                    imports.insert(name, path);
                }
            }
        }
        all
    }

    /// Reads the modules of a crate whose root is `file`, and whose other modules lie beside and below it.
    fn of(file: &Path) -> Self {
        let directory = file.parent().unwrap_or(file);
        let mut texts = BTreeMap::new();
        for path in rust_files(directory) {
            let inside = path.strip_prefix(directory).unwrap_or(&path).with_extension("");
            let mut place: Place =
                inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            // Programs are crates of their own.
            if place.first().is_some_and(|first| first == "bin") {
                continue;
            }
            if path == file || place.last().is_some_and(|last| last == "mod") {
                place.pop();
            }
            texts.insert(place, read(&path));
        }
        Self::new(texts)
    }

    /// Finds the module that declares what `path` names.
    fn owner(&self, mut path: Place) -> Place {
        // Imports of imports may go in a circle.
        for _ in 0..16 {
            let known = (0..=path.len()).rev().find(|len| self.texts.contains_key(&path[..*len]));
            let known = known.unwrap_or(0);
            let Some(name) = path.get(known) else { break };
            let imported = self.imports.get(&path[..known]).and_then(|all| all.get(name));
            let Some(imported) = imported.filter(|imported| ***imported != path[..=known]) else {
                path.truncate(known);
                break;
            };
            path = [&imported[..], &path[known + 1..]].concat();
        }
        path
    }

    /// Makes the graph of each directory.
    fn graphs(&self) -> BTreeMap<Place, Graph> {
        let mut graphs: BTreeMap<Place, Graph> = BTreeMap::new();
        for (place, text) in &self.texts {
            if let Some((last, parent)) = place.split_last() {
                graphs.entry(parent.to_vec()).or_default().entry(last.clone()).or_default();
            }
            for named in names(text) {
                let Some(path) = absolute(&self.texts, place, &named.path) else { continue };
                let owner = self.owner(path);
                let common = place.iter().zip(&owner).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (place.get(common), owner.get(common)) {
                    let graph = graphs.entry(place[..common].to_vec()).or_default();
                    graph.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        graphs
    }
}

fn child(place: &[String], name: &str) -> Place {
    [place, &[name.to_owned()]].concat()
}

/// Puts `tokens` into `into`, and modules in braces under places of their own.
fn inline(place: &[String], tokens: &[String], into: &mut BTreeMap<Place, Vec<String>>) {
    let (mut own, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at] == "mod" && tokens.get(at + 2).is_some_and(|token| token == "{") {
            let end = closing(&tokens[at + 2..]);
            inline(&child(place, &tokens[at + 1]), &tokens[at + 3..at + 2 + end], into);
            at += end + 3;
        } else {
            own.push(tokens[at].clone());
            at += 1;
        }
    }
    into.insert(place.to_vec(), own);
}

/// Finds the place where the brace at the start is closed.
fn closing(tokens: &[String]) -> usize {
    let mut depth = 0;
    let closes = |token: &String| {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0
    };
    tokens.iter().position(closes).unwrap_or(tokens.len() - 1)
}

/// Finds all paths that stand in a `use` or begin with `crate`, `super` or `self`.
fn names(tokens: &[String]) -> Vec<Named> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let word = tokens[at].as_str();
        let inside = at > 0 && (tokens[at - 1] == "::" || tokens[at - 1] == "(");
        // `use<'a>` is no import.
        if word == "use" && tokens.get(at + 1).is_some_and(|token| token != "<") {
            at += 1 + tree(&tokens[at + 1..], &[], &mut all);
        } else if matches!(word, "crate" | "super" | "self")
            && tokens.get(at + 1).is_some_and(|token| token == "::")
            && !(inside && tokens[at - 1] == "::")
        {
            let mut path = vec![tokens[at].clone()];
            at += 1;
            while let [colons, name, ..] = &tokens[at..]
                && colons == "::"
                && name != "<"
            {
                path.push(name.clone());
                at += 2;
            }
            all.push(Named { path, imported: None });
        } else {
            at += 1;
        }
    }
    all
}

/// Reads the tree of a `use` after `before`, and says how many tokens it takes.
fn tree(tokens: &[String], before: &[String], into: &mut Vec<Named>) -> usize {
    let (mut path, mut at) = (before.to_vec(), 0);
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at += tree(&tokens[at..], &path, into);
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                into.push(Named { path, imported: None });
                return at + 1;
            }
            "as" => {
                let imported = tokens.get(at + 1).cloned();
                into.push(Named { path, imported });
                return at + 2;
            }
            // `use a::{self}` brings in `a`.
            "self" if !path.is_empty() => at += 1,
            "," | ";" | "}" => break,
            _ => {
                path.push(token.clone());
                at += 1;
            }
        }
    }
    if path.len() > before.len() || !before.is_empty() {
        let imported = path.last().cloned();
        into.push(Named { path, imported });
    }
    at
}

/// Makes a path begin at the root of the crate; `None` if it leads into another crate.
fn absolute(
    texts: &BTreeMap<Place, Vec<String>>,
    place: &[String],
    path: &[String],
) -> Option<Place> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => absolute_in(place, rest),
        "super" => absolute_in(place, path),
        name => texts.contains_key(&child(place, name)).then(|| [place, path].concat()),
    }
}

fn absolute_in(place: &[String], path: &[String]) -> Option<Place> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let from = place.len().checked_sub(ups)?;
    Some([&place[..from], &path[ups..]].concat())
}

/// Puts the graphs and their circles into words.
fn report(name: &str, modules: &Modules) -> (String, Vec<String>) {
    let (mut shown, mut wrong) = (String::new(), Vec::new());
    for (place, graph) in modules.graphs() {
        let directory = [vec![name.to_owned()], place].concat().join("/");
        shown += &format!("{directory}/\n");
        for (from, all) in &graph {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            shown += &format!("    {from} → {}\n", all.join(", "));
        }
        for (all, shortest) in circles(&graph) {
            let names: Vec<String> = all.into_iter().collect();
            let (count, names) = (names.len(), names.join(", "));
            let shortest = shortest.join(" → ");
            wrong.push(format!(
                "{directory}/: {count} modules depend on each other ({names}), as {shortest}"
            ));
        }
    }
    (shown, wrong)
}

#[test]
fn modules_depend_on_each_other_in_no_circle() {
    let src = root().join("src");
    let mut roots = vec![("src".to_owned(), src.join("lib.rs"))];
    for file in rust_files(&src.join("bin")) {
        if file.ends_with("main.rs") {
            let inside = file.strip_prefix(root()).unwrap_or(&file);
            roots.push((inside.with_file_name("").display().to_string(), file));
        }
    }
    let mut wrong = Vec::new();
    for (name, file) in roots {
        let (shown, circles) = report(&name, &Modules::of(&file));
        println!("{shown}");
        wrong.extend(circles);
    }
    assert!(wrong.is_empty(), "circles between modules:\n{}", wrong.join("\n"));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Modules, Named, names, report};
    use crate::tokens::tokens;

    fn modules(texts: &[(&str, &str)]) -> Modules {
        let place = |name: &str| name.split_terminator('/').map(str::to_owned).collect::<Vec<_>>();
        let texts = texts.iter().map(|(name, text)| (place(name), (*text).to_owned()));
        Modules::new(texts.collect::<BTreeMap<_, _>>())
    }

    /// Each edge as `directory: from to`.
    fn edges(texts: &[(&str, &str)]) -> Vec<String> {
        let all = modules(texts).graphs().into_iter().flat_map(|(place, graph)| {
            let place = place.join("/");
            graph.into_iter().flat_map(move |(from, to)| {
                let place = place.clone();
                to.into_iter().map(move |to| format!("{place}: {from} {to}"))
            })
        });
        all.collect()
    }

    #[test]
    fn paths_are_read() {
        let text = "use crate::{a::{self, B as C, d::*}, e}; use std::fmt; fn f() -> super::g::H { \
                    crate::i::<u8>() } fn j() -> impl Fn() + use<'_> {} pub(crate) use self::k::l;";
        let path = |path: &str| path.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let named = |text: &str, imported: &str| Named {
            path: path(text),
            imported: (!imported.is_empty()).then(|| imported.to_owned()),
        };
        let expected = [
            named("crate a", "a"),
            named("crate a B", "C"),
            named("crate a d", ""),
            named("crate e", "e"),
            named("std fmt", "fmt"),
            named("super g H", ""),
            named("crate i", ""),
            named("self k l", "l"),
        ];
        assert_eq!(names(&tokens(text)), expected);
    }

    #[test]
    fn dependencies_are_found_at_every_level() {
        let texts = [
            ("", "mod a; mod b; mod c; pub use c::D; pub use b::*;"),
            ("a", "use crate::b::x; mod y; mod z; use y::W;"),
            ("a/y", "fn f() { super::z::g(); super::own(); crate::D::new() }"),
            ("a/z", "use super::W; use super::super::c;"),
            ("b", "fn f() { std::mem::take(x) } /* crate::c */ const S: &str = \"crate::a\";"),
            (
                "c",
                "#[cfg(test)] mod tests; #[cfg(test)] mod more { use crate::a; } mod inner { use super::super::b; }",
            ),
            ("c/tests", "use crate::a;"),
        ];
        let expected = [": a b", ": a c", ": c b", "a: y z", "a: z y"];
        assert_eq!(edges(&texts), expected);
    }

    #[test]
    fn a_circle_is_shown() {
        let texts = [
            ("", "mod a; mod b; mod c; pub use a::A;"),
            ("a", "use crate::b::B; pub struct A;"),
            ("b", "pub struct B(crate::c::C);"),
            ("c", "pub struct C(Option<Box<crate::A>>);"),
        ];
        let (shown, wrong) = report("src", &modules(&texts));
        assert!(shown.contains("    a → b\n    b → c\n    c → a\n"), "{shown}");
        let expected = "src/: 3 modules depend on each other (a, b, c), as a → b → c → a";
        assert_eq!(wrong, [expected]);
    }
}
