//! Which boundaries a command asks.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::place::BoundaryIndex;
use city_protocol::place::boundary::MAX_INDEX_BYTES;
use clap::Args;

use crate::place::import::{ImportOptions, import, is_source};
use crate::place::outlines::demo_boundary;
use crate::setup::DataDir;

/// The index that `place import` writes and `place locate` asks unless they are told otherwise.
pub(super) const INDEX: &str = "boundary.cbor";

/// Which boundaries are asked.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct SourceArgs {
    /// A boundary index, a GeoJSON, TopoJSON or .shp file, or a directory of them [default: boundary.cbor].
    #[arg(long, value_name = "PATH")]
    boundaries: Option<PathBuf>,
    /// The boundary index in a data directory.
    // Not from the environment: a variable would contradict a --boundaries beside it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The demo's hand-drawn outlines: not official.
    #[arg(long)]
    coarse_demo_boundaries: bool,
}

impl SourceArgs {
    /// The boundaries.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is none, in words.
    pub(super) fn open(&self) -> anyhow::Result<BoundaryIndex> {
        if self.coarse_demo_boundaries {
            return Ok(demo_boundary());
        }
        let path = match (&self.boundaries, &self.data_dir) {
            (Some(path), _) => path.clone(),
            (None, Some(directory)) => DataDir::new(directory).boundary(),
            (None, None) => {
                let path = PathBuf::from(INDEX);
                if !path.exists() {
                    bail!(
                        "there is no {INDEX} here; make one with `city-node place import`, or give --boundaries, --data-dir or --coarse-demo-boundaries"
                    );
                }
                path
            }
        };
        open(&path)
    }
}

/// The boundaries in an index, a file of outlines or a directory of them.
///
/// # Errors
///
/// A file that cannot be read or is none, in words.
pub(super) fn open(path: &Path) -> anyhow::Result<BoundaryIndex> {
    if path.is_dir() || is_source(path) {
        return Ok(import(&[path], &ImportOptions::default())?.index);
    }
    let failed = || {
        format!(
            "{}: cannot be read; check the path and its permissions",
            path.display()
        )
    };
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(failed)?;
    file.take(MAX_INDEX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    BoundaryIndex::decode(&bytes).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a boundary index ({refusal}); make one with: city-node place import",
            path.display()
        )
    })
}
