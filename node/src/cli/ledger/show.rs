//! `ledger heads` and `ledger show`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::source::SourceArgs;
use crate::config::rfc3339;
use crate::ledger::pages::{EntryShown, HeadShown, LogName, VertexShown};

/// Longest value of a body that is printed whole, in characters; keys and signatures are longer.
const MAX_SHOWN: usize = 100;

/// Arguments of `ledger heads`.
#[derive(Debug, Args)]
pub struct HeadsArgs {
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A vertex, a position of a log, an entry there, or the identity of what was submitted.
    #[arg(value_name = "VERTEX|LOG:SEQ[:INDEX]|IDENTITY")]
    what: String,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn heads(args: &HeadsArgs) -> Outcome {
    let page = args.source.open()?.heads()?;
    if args.json {
        output::object(serde_json::to_value(&page)?)?;
    } else {
        let lines: String = page.heads.iter().map(head).collect();
        output::text(&lines)?;
    }
    Ok(Exit::Ok)
}

fn head(head: &HeadShown) -> String {
    let mut text = format!(
        "{}{}\n  log        {}\n  position   epoch {}, seq {}, {} entries\n  head       {}, {}\n",
        name(&head.of),
        if head.own { " — this home" } else { "" },
        head.of.log,
        head.epoch,
        head.seq,
        head.entries,
        head.head,
        rfc3339(head.time),
    );
    if let Some(witnesses) = head.witnessed_by {
        let _ = writeln!(text, "  finality   witnessed by {witnesses}");
    }
    if let Some(folded) = head.headers_behind {
        let _ = writeln!(
            text,
            "  followed   by headers: what stands behind position {folded} is not here ([follow] in the configuration)"
        );
    }
    if let Some(seq) = head.trusted_up_to {
        let _ = writeln!(
            text,
            "  TRUSTED    up to seq {seq}: its home signed the state there, who paid whom before is another's word (docs/store.md)"
        );
    }
    if let Some(frozen) = &head.frozen {
        let _ = writeln!(text, "  FROZEN     {frozen}: it counts up to here");
    }
    text
}

/// Name and code of a municipality, or the log where neither is known.
pub(in crate::cli) fn name(of: &LogName) -> String {
    match (&of.name, &of.region) {
        (Some(name), Some(region)) => format!("{name} ({region})"),
        (None, Some(region)) => region.clone(),
        _ => of.log.to_string(),
    }
}

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let source = args.source.open()?;
    let wanted = source.wanted(&args.what)?;
    let Some(vertex) = source.vertex(wanted)? else {
        return Err(anyhow::anyhow!("{}: not here, or it does not count", args.what).into());
    };
    if args.json {
        output::object(serde_json::to_value(&vertex)?)?;
    } else {
        output::text(&told(&vertex))?;
    }
    Ok(Exit::Ok)
}

fn told(vertex: &VertexShown) -> String {
    let stands = &vertex.stands;
    let mut text = format!(
        "vertex     {}\nof         {}\nlog        {}\nposition   epoch {}, seq {}\ntime       {}\nbefore     {}\n",
        stands.vertex,
        name(&stands.of),
        stands.of.log,
        stands.epoch,
        stands.seq,
        rfc3339(vertex.time),
        vertex.prev,
    );
    for parent in &vertex.parents {
        let at = parent.stands.as_ref().map_or_else(String::new, |at| {
            format!(" — {}, epoch {}, seq {}", name(&at.of), at.epoch, at.seq)
        });
        let _ = writeln!(text, "parent     {}{at}", parent.vertex);
    }
    for to in &vertex.to {
        let _ = writeln!(text, "to         {}", name(to));
    }
    let _ = writeln!(
        text,
        "signed by  {} ({})\ncharter    {}\nentries    {}, root {}",
        vertex.signed_by.key,
        vertex.signed_by.alg,
        vertex.charter,
        vertex.count,
        vertex.entries_root
    );
    match &vertex.entries {
        Some(entries) => entries
            .iter()
            .for_each(|entry| tell_entry(&mut text, entry)),
        None => text += "  the body is not at this node\n",
    }
    text
}

fn tell_entry(text: &mut String, entry: &EntryShown) {
    let _ = writeln!(
        text,
        "\n  {}  {}: {}",
        entry.index,
        entry.kind,
        output::printable(&entry.words)
    );
    if let Some(identity) = &entry.identity {
        let _ = writeln!(text, "     identity   {identity}");
    }
    for signer in &entry.signed_by {
        let _ = writeln!(text, "     signed by  {} ({})", signer.key, signer.alg);
    }
    let booked = serde_json::to_value(&entry.booked).unwrap_or(Value::Null);
    for (name, value) in booked.as_object().into_iter().flatten() {
        let _ = writeln!(text, "     booked     {name} {}", short(value));
    }
    if entry.cites > 0 {
        let _ = writeln!(text, "     rests on   {}", entry.cites);
    }
    for (name, value) in entry.body.as_object().into_iter().flatten() {
        let _ = writeln!(text, "     {name:<21} {}", short(value));
    }
}

/// A value on one line, cut where it is long; `--json` has all of it.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => output::printable(text),
        value => output::printable(&value.to_string()),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("{}… ({} characters)", &text[..cut], text.chars().count()),
        None => text,
    }
}
