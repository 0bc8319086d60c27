//! The DAG in Graphviz's language: one column a log, a line to the vertex before, a dashed one to each parent.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use city_protocol::ids::{BlockId, LogId};

use super::pages::VertexLine;

/// The drawing. Edges to vertices that are not in it are left out.
#[must_use]
pub fn drawing(vertices: &[VertexLine]) -> String {
    let drawn: HashSet<&BlockId> = vertices.iter().map(|line| &line.stands.vertex).collect();
    let mut logs: BTreeMap<&LogId, Vec<&VertexLine>> = BTreeMap::new();
    for line in vertices {
        logs.entry(&line.stands.of.log).or_default().push(line);
    }
    let mut out = String::from(
        "digraph ledger {\n  rankdir=BT;\n  graph [fontname=\"sans-serif\"];\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n",
    );
    let mut put = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a String takes all");
    };
    for (log, lines) in &logs {
        put(format_args!("  subgraph \"cluster_{log}\" {{"));
        put(format_args!("    label={};", quoted(&title(lines))));
        for line in lines {
            let id = line.stands.vertex;
            put(format_args!(
                "    \"{id}\" [label={}];",
                quoted(&label(line))
            ));
        }
        put(format_args!("  }}"));
    }
    for line in vertices {
        let id = line.stands.vertex;
        if drawn.contains(&line.prev) {
            put(format_args!("  \"{id}\" -> \"{}\";", line.prev));
        }
        for parent in line.parents.iter().filter(|parent| drawn.contains(parent)) {
            put(format_args!(
                "  \"{id}\" -> \"{parent}\" [style=dashed, constraint=false];"
            ));
        }
    }
    out += "}\n";
    out
}

fn title(lines: &[&VertexLine]) -> String {
    let of = lines.first().map(|line| &line.stands.of);
    let name = of.and_then(|of| of.name.clone());
    let region = of.and_then(|of| of.region.clone());
    let log = of.map(|of| of.log.to_string()).unwrap_or_default();
    match (name, region) {
        (Some(name), Some(region)) => format!("{name} ({region})"),
        (_, Some(region)) => region,
        _ => log,
    }
}

/// Position and how many entries of each kind.
fn label(line: &VertexLine) -> String {
    let stands = &line.stands;
    let mut text = match stands.epoch {
        1 => stands.seq.to_string(),
        epoch => format!("{epoch}:{}", stands.seq),
    };
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, _) in line.entries.iter().flatten() {
        *kinds.entry(kind).or_default() += 1;
    }
    for (kind, count) in kinds {
        text += &match count {
            1 => format!("\n{kind}"),
            count => format!("\n{count} × {kind}"),
        };
    }
    if line.entries.is_none() {
        text += "\n(body not here)";
    }
    text
}

/// A text as Graphviz takes it (its grammar: in quotes, only the quote needs a backslash; `\n` breaks the line).
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use city_protocol::amount::Timestamp;

    use super::super::pages::{LogName, Stands};
    use super::*;

    fn line(seq: u64, prev: BlockId, parents: Vec<BlockId>) -> VertexLine {
        VertexLine {
            stands: Stands {
                vertex: BlockId::of(&seq.to_be_bytes()),
                of: LogName {
                    log: LogId([1; 32]),
                    region: Some("Asia/JP/17/17201".into()),
                    name: Some("金\"沢\\市".into()),
                },
                epoch: 1,
                seq,
            },
            time: Timestamp(0),
            prev,
            parents,
            entries: Some(vec![("transfer".into(), String::new()); 2]),
        }
    }

    #[test]
    fn edges_lead_to_what_is_drawn_and_names_are_quoted() {
        let (first, elsewhere) = (BlockId::of(&1_u64.to_be_bytes()), BlockId::of(b"elsewhere"));
        let lines = [
            line(1, elsewhere, Vec::new()),
            line(2, first, vec![first, elsewhere]),
        ];
        let drawn = drawing(&lines);
        assert_eq!(drawn.matches(" -> ").count(), 2, "{drawn}");
        assert_eq!(drawn.matches("style=dashed").count(), 1, "{drawn}");
        assert!(
            drawn.contains("label=\"金\\\"沢\\\\市 (Asia/JP/17/17201)\""),
            "{drawn}"
        );
        assert!(drawn.contains("label=\"2\\n2 × transfer\""), "{drawn}");
        assert_eq!(drawn.matches('{').count(), drawn.matches('}').count());
    }
}
