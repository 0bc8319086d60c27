//! `place import`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::source::INDEX;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::keys::file::write_public;
use crate::place::import::{Import, ImportOptions, import_watched};

/// Most omissions that are spelled out for people; `--json` has more.
const MAX_TOLD: usize = 20;

/// Arguments of `place import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// GeoJSON, TopoJSON and .shp files, or directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The index to write.
    #[arg(long, value_name = "FILE", default_value = INDEX)]
    out: PathBuf,
    /// Replace the index if it is there.
    #[arg(long)]
    replace: bool,
    /// The property with the municipality's code [default: N03_007].
    #[arg(long, value_name = "NAME")]
    code_property: Option<String>,
    /// The property with the municipality's name [default: N03_003 and N03_004].
    #[arg(long, value_name = "NAME")]
    name_property: Option<String>,
    /// The source's credit line.
    #[arg(long, value_name = "LINE")]
    credit: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ImportArgs) -> Outcome {
    if !args.replace && args.out.symlink_metadata().is_ok() {
        return Err(anyhow::anyhow!(
            "{}: exists already; choose another --out, or give --replace",
            args.out.display()
        )
        .into());
    }
    let options = ImportOptions {
        code_property: args.code_property.clone(),
        name_property: args.name_property.clone(),
        credit: args.credit.clone(),
    };
    let progress = output::bytes_bar("reading boundaries");
    let imported = import_watched(&args.paths, &options, |done, total| {
        progress.set_length(total);
        progress.set_position(done);
    });
    progress.finish_and_clear();
    let imported = imported?;
    write_public(&args.out, &imported.index.encode())?;
    if args.json {
        output::object(json!({
            "out": args.out,
            "digest": imported.index.digest(),
            "bytes": imported.index.encoded_len(),
            "credit": imported.index.credit(),
            "report": imported.report,
        }))?;
    } else {
        output::text(&printable(&told(&args.out, &imported)))?;
    }
    Ok(Exit::Ok)
}

/// What a file says of itself is shown, and does not command the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => '\n',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

fn told(out: &Path, Import { index, report }: &Import) -> String {
    let build = &report.build;
    let mut text = format!(
        "{}: {} municipalities, {} polygons, {} vertices, {} bytes\n\
         from {} files with {} features; digest {}\ncredit: {}\n",
        out.display(),
        build.municipalities,
        build.polygons,
        build.vertices,
        index.encoded_len(),
        report.files,
        report.features,
        index.digest(),
        index.credit(),
    );
    let unread = report
        .unread
        .iter()
        .map(|(_, why)| format!("not read: {why}\n"));
    let skipped = report.skipped.iter().map(|skipped| {
        format!(
            "skipped: {} feature {}: {:?}\n",
            skipped.file.display(),
            skipped.feature,
            skipped.reason
        )
    });
    let problems = build.problems.iter();
    let problems =
        problems.map(|problem| format!("left out: {}: {:?}\n", problem.code, problem.what));
    let lines: Vec<String> = unread.chain(skipped).chain(problems).collect();
    let more = report.more_skipped + build.more_problems + lines.len().saturating_sub(MAX_TOLD);
    text.extend(lines.into_iter().take(MAX_TOLD));
    if more > 0 {
        text += &format!("and {more} more; --json lists them\n");
    }
    text
}
