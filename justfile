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
    cargo bench -p city-node -- {{ARGS}}

# The Debian package, in target/debian/. Needs cargo-deb (cargo install cargo-deb --locked).
deb:
    cargo build --profile dist --locked
    packaging/build-deb dist

# Everything that CI runs.
ci:
    bash .ci/run
