//! Commands whose rooms are not in this binary yet: each says so and fails.

use anyhow::anyhow;

use super::exit::Outcome;
use super::run::{DemoArgs, Located, RunArgs, StatusArgs};
use super::store::StoreArgs;
use crate::config::Config;
use crate::setup::Identity;

pub(super) fn run(
    _args: &RunArgs,
    _config: Config,
    _located: Located,
    _identity: Identity,
) -> Outcome {
    missing("run")
}

pub(super) fn demo(_args: &DemoArgs) -> Outcome {
    missing("demo")
}

pub(super) fn status(_args: &StatusArgs) -> Outcome {
    missing("status")
}

pub(super) fn store(_args: &StoreArgs) -> Outcome {
    missing("store")
}

fn missing(command: &str) -> Outcome {
    Err(anyhow!("`{command}` is not built into this binary").into())
}
