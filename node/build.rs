//! Notes the build time: the lowest time that the node believes of a clock (DESIGN §6.10).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    // Reproducible builds give the time; see reproducible-builds.org, SOURCE_DATE_EPOCH.
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs());
    println!(
        "cargo::rustc-env=CITY_NODE_BUILD_TIME={}",
        given.unwrap_or_else(|| now.to_string())
    );
}
