# Developer commands. `just --list`

# Format, lint and test, as CI does.
check:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# The main job: three nodes, one transfer.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Measures against the bars in docs/benchmarks.md. `just bench --quick` only shows that the benches run.
bench *ARGS:
    cargo bench -p city-drivers -- {{ARGS}}
    cargo bench -p city-node -- {{ARGS}}

# The Debian package, in target/debian/. Needs cargo-deb (cargo install cargo-deb --locked).
deb:
    cargo build --profile dist --locked
    packaging/build-deb dist

# Everything that CI runs.
ci:
    bash .ci/run

# Fuzz one target of tests/fuzz until it fails or is stopped: `just fuzz vertex -max_total_time=600`. Needs cargo-fuzz.
# Without sanitizer it builds with the stable compiler; the memory checks are the targets' own.
fuzz TARGET *ARGS:
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none {{TARGET}} -- -rss_limit_mb=2048 -timeout=10 {{ARGS}}

# Every fuzz target for so many seconds, on top of the seeds.
fuzz-all SECONDS: fuzz-seeds
    for target in answer car_segment certificate checkpoint crl envelope equivocation geojson gnss_framing hello keystore_file nmea officers_body receipt sealed_box sync_frame transfer_json ubx vertex; do \
        just fuzz $target -max_total_time={{SECONDS}} || exit 1; \
    done

# What the fuzz targets begin with, written into tests/fuzz/corpus.
fuzz-seeds:
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none seeds

# The model test for longer: so many stories, from this seed.
model CASES SEED:
    PROPTEST_CASES={{CASES}} CITY_NODE_SEED={{SEED}} cargo test -p city-protocol --test protocol model -- --nocapture

# The verdicts at the edge of what verifies, and the state root of a fixed log, on an emulated aarch64. Says `skipped:`
# where a tool is missing.
verdicts-aarch64:
    #!/usr/bin/env bash
    set -euo pipefail
    for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
        command -v "$tool" >/dev/null || { echo "skipped: no $tool (apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)"; exit 0; }
    done
    rustup target list --installed | grep -qx aarch64-unknown-linux-gnu || { echo "skipped: rustup target add aarch64-unknown-linux-gnu"; exit 0; }
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
    cargo test -p city-protocol --target aarch64-unknown-linux-gnu --test protocol -- verdicts:: the_same_log_has_the_same_state_on_every_machine
