//! The file and the environment as one list of values by path, each with where it stood. Values are
//! taken out one by one; what is left at the end is unknown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, PEER, SECTIONS, Shape};
use super::mistake::{Mistake, Origin};
use super::overrides::Overrides;

/// A value and where it stood.
pub(super) struct Leaf<'a> {
    pub(super) value: DeValue<'a>,
    pub(super) origin: Origin,
}

/// Values by path, and the mistakes found so far.
pub(super) struct Document<'a> {
    leaves: BTreeMap<String, Leaf<'a>>,
    /// Each `[[network.peer]]` with the line it begins on.
    pub(super) peers: Vec<usize>,
    pub(super) mistakes: Vec<Mistake>,
    lines: Lines,
}

impl<'a> Document<'a> {
    /// Reads a file's text; every syntax error becomes a mistake.
    pub(super) fn read(text: &'a str, overrides: &'a Overrides) -> Self {
        let mut document = Self {
            leaves: BTreeMap::new(),
            peers: Vec::new(),
            mistakes: Vec::new(),
            lines: Lines::of(text),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let origin = document.origin(error.span());
            document.mistakes.push(Mistake {
                key: String::new(),
                origin,
                what: format!("not TOML: {}", error.message()),
                remedy: "correct the line; strings stand in quotes, and each key at most once"
                    .into(),
            });
        }
        document.flatten("", table.into_inner());
        document.override_with(overrides);
        document
    }

    /// Takes the value of a path.
    pub(super) fn take(&mut self, path: &str) -> Option<Leaf<'a>> {
        self.leaves.remove(path)
    }

    /// Where the value of a path stands, if there is one that nobody took.
    pub(super) fn origin_of(&self, path: &str) -> Option<Origin> {
        self.leaves.get(path).map(|leaf| leaf.origin.clone())
    }

    /// Notes a mistake about a key, with its own remedy.
    pub(super) fn note(&mut self, key: &str, origin: Origin, what: String, remedy: &str) {
        self.mistakes.push(Mistake {
            key: key.into(),
            origin,
            what,
            remedy: remedy.into(),
        });
    }

    /// Makes every value that nobody took a mistake, and gives all mistakes in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        for (key, leaf) in std::mem::take(&mut self.leaves) {
            let (what, remedy) = unknown(&key);
            self.note(&key, leaf.origin, what, &remedy);
        }
        // Where the text itself is broken, what else is found there follows from it.
        let broken = |mistake: &&Mistake| mistake.key.is_empty();
        let broken: Vec<Origin> = self
            .mistakes
            .iter()
            .filter(broken)
            .map(|mistake| mistake.origin.clone())
            .collect();
        self.mistakes.retain(|mistake| {
            let follows = broken.contains(&mistake.origin) || mistake.origin == Origin::Absent;
            mistake.key.is_empty() || broken.is_empty() || !follows
        });
        self.mistakes.sort_by_key(|mistake| match mistake.origin {
            Origin::Absent => 0,
            Origin::Line(line) => line,
            Origin::Variable(_) => usize::MAX,
        });
        self.mistakes
    }

    fn flatten(&mut self, prefix: &str, table: DeTable<'a>) {
        for (name, value) in table {
            let name = name.into_inner();
            let path = if prefix.is_empty() {
                name.into_owned()
            } else {
                format!("{prefix}.{name}")
            };
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => {
                    let origin = self.origin(Some(span));
                    if !is_section(&path) {
                        let (what, remedy) = unknown(&path);
                        self.note(&path, origin, what, &remedy);
                    } else {
                        self.flatten(&path, table);
                    }
                }
                DeValue::Array(tables) if path == PEER && tables.iter().all(is_table) => {
                    for table in tables {
                        self.peer(table);
                    }
                }
                value => {
                    let origin = self.origin(Some(span));
                    self.leaves.insert(path, Leaf { value, origin });
                }
            }
        }
    }

    fn peer(&mut self, table: Spanned<DeValue<'a>>) {
        let (number, line) = (self.peers.len(), self.lines.number(table.span().start));
        self.peers.push(line);
        let DeValue::Table(table) = table.into_inner() else {
            return;
        };
        for (name, value) in table {
            let origin = self.origin(Some(value.span()));
            let path = format!("{PEER}[{number}].{}", name.into_inner());
            self.leaves.insert(
                path,
                Leaf {
                    value: value.into_inner(),
                    origin,
                },
            );
        }
    }

    fn override_with(&mut self, overrides: &'a Overrides) {
        for (path, (variable, text)) in &overrides.values {
            let origin = Origin::Variable(variable.clone());
            let key = keys::find(path).expect("overrides hold known keys only");
            match text {
                Some(text) => {
                    let value = environment_value(key.shape, text);
                    self.leaves
                        .insert((*path).to_owned(), Leaf { value, origin });
                }
                None => self.note(path, origin, "is not UTF-8".into(), key.remedy),
            }
        }
    }

    fn origin(&self, span: Option<Range<usize>>) -> Origin {
        span.map_or(Origin::Absent, |span| {
            Origin::Line(self.lines.number(span.start))
        })
    }
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().is_table()
}

fn is_section(path: &str) -> bool {
    let within = |section: &str| {
        let rest = section.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    SECTIONS.iter().any(|(section, _)| within(section))
}

/// A variable's text as the value it stands for; what does not fit stays text and is refused as such.
fn environment_value(shape: Shape, text: &str) -> DeValue<'_> {
    let string = |text| DeValue::String(Cow::Borrowed(text));
    match shape {
        Shape::Text => string(text),
        Shape::List => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            DeValue::Array(items.map(|item| Spanned::new(0..0, string(item))).collect())
        }
        Shape::Whole | Shape::Switch => match DeValue::parse(text.trim()) {
            Ok(value) if value.get_ref().is_integer() || value.get_ref().is_bool() => {
                value.into_inner()
            }
            _ => string(text),
        },
    }
}

fn unknown(path: &str) -> (String, String) {
    if is_section(path) {
        return (
            "is a section, not a value".into(),
            format!("write it as [{path}]"),
        );
    }
    if path == PEER {
        return (
            "is a list of tables, not a value".into(),
            format!("write each peer as [[{PEER}]]"),
        );
    }
    let section = path.rsplit_once('.').map_or("", |(section, _)| section);
    let peer = section.starts_with("network.peer[");
    let known: Vec<&str> = if peer {
        keys::PEER_KEYS.iter().map(|key| key.path).collect()
    } else {
        keys::KEYS
            .iter()
            .filter(|key| key.section() == section)
            .map(keys::Key::name)
            .collect()
    };
    let remedy = if known.is_empty() {
        let sections: Vec<&str> = SECTIONS.iter().map(|(section, _)| *section).collect();
        format!(
            "remove it or correct its spelling; there are the sections {}",
            sections.join(", ")
        )
    } else {
        let name = if peer { PEER } else { section };
        format!(
            "remove it or correct its spelling; [{name}] knows {}",
            known.join(", ")
        )
    };
    ("is not known".into(), remedy)
}

/// Where lines begin, to tell a line from a position.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    fn number(&self, position: usize) -> usize {
        self.0.partition_point(|start| *start <= position)
    }
}
