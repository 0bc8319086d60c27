//! `note`: the board that all homes share. Writing goes through the running home; reading also through the store of a
//! stopped node.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use city_protocol::body::{Label, MAX_NOTE_VALUE};
use clap::{ArgGroup, Args, Subcommand};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::exit::{Exit, Failure, Outcome};
use super::launch::{self, asked};
use super::ledger::source::SourceArgs;
use super::run::PlaceArgs;
use super::{input, output};
use crate::client::AdminClient;
use crate::config::rfc3339;
use crate::ledger::notes::{NoteForm, NoteShown, NoteValue, NotedPage};

/// Who may write where, in two lines.
const WHO: &str = "\
A key without `/` is everybody's: of several homes the one who wrote last counts. A key with `/` is one municipality's, and begins with its
region path: Asia/JP/17/17201/hours. Everybody reads everything, for ever: what was written over or deleted stays in the log.";

/// What can be done with the board.
#[derive(Debug, Subcommand)]
pub enum NoteCommand {
    /// Write under a key, in place of what stands there.
    #[command(after_help = format!("\
Examples:
  city-node note add 掲示 \"防災訓練は九月一日\"
  city-node note add Asia/JP/17/17201/hours --file hours.txt
  uptime | city-node note add Asia/JP/17/17201/uptime -

{WHO}"))]
    Add(AddArgs),
    /// Print what stands under a key, byte for byte.
    #[command(after_help = "\
Exit codes: 0 printed · 1 nothing stands there.")]
    Get(GetArgs),
    /// Delete what stands under a key.
    #[command(after_help = WHO)]
    Delete(DeleteArgs),
    /// List the keys under which anything stands.
    #[command(after_help = "\
Examples:
  city-node note list
  city-node note list --prefix Asia/JP/17/17201/ --json")]
    List(ListArgs),
}

/// Arguments of `note add`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["value", "file"]))]
pub struct AddArgs {
    /// The key: 1 to 256 bytes without control characters.
    key: String,
    /// The value, or - for standard input; at most 64 KiB.
    value: Option<String>,
    /// A file with the value.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `note get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The key.
    key: String,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object: `text` where the value is UTF-8, and `base64` in any case.
    #[arg(long)]
    json: bool,
}

/// Arguments of `note delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The key.
    key: String,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `note list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only keys that begin with this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Also keys under which everything was deleted.
    #[arg(long)]
    deleted: bool,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &NoteCommand) -> Outcome {
    match command {
        NoteCommand::Add(args) => add(args),
        NoteCommand::Get(args) => get(args),
        NoteCommand::Delete(args) => delete(args),
        NoteCommand::List(args) => list(args),
    }
}

/// A key that can be one.
fn checked(key: &str) -> Result<String, Failure> {
    let refused = |_| {
        let why = anyhow!(
            "a key has 1 to 256 bytes, no control characters, and none that turn the reading direction"
        );
        Failure::new(Exit::Usage, why)
    };
    Label::new(key)
        .map(|key| key.as_str().to_owned())
        .map_err(refused)
}

fn add(args: &AddArgs) -> Outcome {
    let key = checked(&args.key)?;
    let value = match (&args.value, &args.file) {
        (Some(dash), _) if dash == "-" => input::read(Path::new("-"), MAX_NOTE_VALUE)?.to_vec(),
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(file)) => input::read(file, MAX_NOTE_VALUE)?.to_vec(),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    if value.len() > MAX_NOTE_VALUE {
        return Err(anyhow!(
            "the value is longer than {MAX_NOTE_VALUE} bytes: keep it elsewhere, and note where"
        )
        .into());
    }
    let bytes = value.len();
    let form = NoteForm {
        key,
        value: Some(NoteValue(value)),
    };
    let noted = write(&args.place, &form)?;
    tell(&form.key, &noted, &format!("{bytes} bytes"), args.json)
}

fn delete(args: &DeleteArgs) -> Outcome {
    let form = NoteForm {
        key: checked(&args.key)?,
        value: None,
    };
    let socket = args.place.locate().data.admin_socket();
    let stands = launch::runtime()?.block_on(async {
        let admin = AdminClient::connect(&socket).await?;
        match admin.note(&form.key).await {
            Ok(page) => Ok(!page.note.deleted),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    });
    if !asked(stands)? {
        return Err(nothing(&args.key));
    }
    let noted = write(&args.place, &form)?;
    tell(&form.key, &noted, "deleted", args.json)
}

fn write(place: &PlaceArgs, form: &NoteForm) -> Result<NotedPage, Failure> {
    let socket = place.locate().data.admin_socket();
    let asking = async { AdminClient::connect(&socket).await?.write_note(form).await };
    asked(launch::runtime()?.block_on(asking))
}

fn tell(key: &str, noted: &NotedPage, what: &str, json: bool) -> Outcome {
    let NotedPage { vertex, at, .. } = noted;
    if json {
        output::object(json!({ "key": key, "vertex": vertex, "at": at }))?;
    } else {
        let key = output::printable(key);
        output::text(&format!(
            "{key}: {what}, position {} of this home's log\n",
            at.seq
        ))?;
    }
    Ok(Exit::Ok)
}

fn get(args: &GetArgs) -> Outcome {
    let found = args.source.open()?.note(&args.key)?;
    let found =
        found.and_then(|page| Some((page.note, page.value)).filter(|(note, _)| !note.deleted));
    let Some((note, value)) = found else {
        return Err(nothing(&args.key));
    };
    let Some(NoteValue(value)) = value else {
        return Err(anyhow!(
            "{}: it stands in a body that cannot be read here; city-node store verify says why",
            args.key
        )
        .into());
    };
    if args.json {
        let mut shown = shown(&note);
        shown["base64"] = BASE64.encode(&value).into();
        if let Ok(text) = std::str::from_utf8(&value) {
            shown["text"] = text.into();
        }
        output::object(shown)?;
    } else {
        output::bytes(&value)?;
    }
    Ok(Exit::Ok)
}

fn list(args: &ListArgs) -> Outcome {
    let source = args.source.open()?;
    let (mut notes, mut after) = (Vec::new(), String::new());
    loop {
        let page = source.notes(&args.prefix, &after)?;
        let Some(last) = page.notes.last() else { break };
        after.clone_from(&last.key);
        let wanted = page
            .notes
            .into_iter()
            .filter(|note| args.deleted || !note.deleted);
        notes.extend(wanted);
        if !page.more {
            break;
        }
    }
    if args.json {
        let notes: Vec<Value> = notes.iter().map(shown).collect();
        output::object(json!({ "notes": notes }))?;
        return Ok(Exit::Ok);
    }
    let line = |note: &NoteShown| {
        let bytes = match note.deleted {
            true => "deleted".to_owned(),
            false => format!("{} bytes", note.bytes),
        };
        let (key, by) = (output::printable(&note.key), super::ledger::name(&note.by));
        format!("{key}  {bytes}, {by}, {}\n", rfc3339(note.time))
    };
    let lines: String = notes.iter().map(line).collect();
    let none = "nothing stands on the board\n".to_owned();
    output::text(if lines.is_empty() { &none } else { &lines })?;
    Ok(Exit::Ok)
}

fn shown(note: &NoteShown) -> Value {
    json!({
        "key": note.key, "bytes": note.bytes, "deleted": note.deleted, "by": note.by, "at": note.at,
        "time": rfc3339(note.time), "depth": note.depth,
    })
}

fn nothing(key: &str) -> Failure {
    let key = output::printable(key);
    anyhow!("{key}: nothing stands there; city-node note list shows what does").into()
}
