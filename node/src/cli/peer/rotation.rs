//! A rotation of a peer's transport key, as a file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::input;
use super::super::output;
use super::super::trusted::{Common, with};
use crate::config::rfc3339;
use crate::trust::pages::RotationShown;

/// Arguments of `peer follow-rotation`.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// The record that `city-node key rotate transport` wrote.
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub(super) fn follow(args: &FollowArgs) -> Outcome {
    let file = read(&args.file)?;
    let page = with(&args.common, |trusted| trusted.follow_rotation(&file))?;
    if args.common.json {
        output::object(json!({ "old": page.old, "new": page.new, "known": page.known }))?;
    } else if page.known {
        output::text(&format!(
            "{} was followed to {} before; nothing changed\n",
            page.old, page.new
        ))?;
    } else {
        output::text(&format!(
            "the entry of {} has passed to {}\n",
            page.old, page.new
        ))?;
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    // One that is longer is told as what it is.
    let bytes = input::read(path, city_protocol::trust::MAX_ROTATION)?;
    Ok(bytes.to_vec())
}

/// What the new peer id's line says.
pub(super) fn came_from(rotation: &RotationShown) -> String {
    let mut text = format!(
        "  followed a rotation from {} on {}, {}, made {}, until {}\n",
        rotation.old,
        rfc3339(rotation.at),
        brought(rotation),
        rfc3339(rotation.made_at),
        rfc3339(rotation.expires_at),
    );
    if rotation.in_config {
        text += &format!(
            "    config.toml still names {}: write {} there ([[network.peer]])\n",
            rotation.old, rotation.new
        );
    }
    text + &contested(rotation)
}

/// What the old peer id's line says.
pub(super) fn went_to(rotation: &RotationShown) -> String {
    let again = if rotation.relisted {
        "; an operator listed it again since"
    } else {
        ""
    };
    let mut text = format!(
        "  its entry passed to {} on {}, {}{again}\n",
        rotation.new,
        rfc3339(rotation.at),
        brought(rotation),
    );
    if rotation.in_config {
        text += &format!(
            "    config.toml still names this peer id, which has no force: write {} there ([[network.peer]])\n",
            rotation.new
        );
    }
    text + &contested(rotation)
}

fn brought(rotation: &RotationShown) -> String {
    match (&rotation.from, rotation.by.as_str()) {
        (Some(from), _) => format!("handed on by {from}"),
        (None, "peer") => "said by the node itself".into(),
        (None, by) => format!("by operator {by}"),
    }
}

fn contested(rotation: &RotationShown) -> String {
    let Some(other) = &rotation.contested else {
        return String::new();
    };
    let from = other.from.as_ref();
    let from = from.map_or(String::new(), |from| format!(", handed on by {from}"));
    format!(
        "    CONTESTED: a second rotation of {}, to {}, made {}, came on {}{from}; it was not followed. Ask its operator which is theirs\n",
        rotation.old,
        other.new,
        rfc3339(other.made_at),
        rfc3339(other.at),
    )
}
