//! Writes each target's inputs to begin with into `corpus/TARGET/`: `just fuzz-seeds`. A program of the same
//! build as the targets, so that nothing is compiled twice.

use std::fs;
use std::path::Path;

use city_protocol::ids::Digest;
// What the instrumented code calls.
use libfuzzer_sys as _;

fn main() -> std::io::Result<()> {
    for (target, seeds) in city_fuzz::seeds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&corpus)?;
        // Those of an older story are true no more: what they hold is signed, and nobody here knows it.
        for old in fs::read_dir(&corpus)? {
            let old = old?;
            if old.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(old.path())?;
            }
        }
        println!("{target}: {}", seeds.len());
        for seed in seeds {
            let digest = Digest::of(&[&seed]).to_string();
            fs::write(corpus.join(format!("seed-{}", &digest[7..23])), seed)?;
        }
    }
    Ok(())
}
