//! `ledger prove` and `ledger verify-proof`.

use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::checkpoint::{Leaf, MAX_PROOF, Proof, VerifiedProof};
use city_protocol::genesis::Genesis;
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::Outcome;
use super::proof_file::{self, CheckArgs, Shown};
use super::source::{Source, SourceArgs};
use crate::config::rfc3339;
use crate::ledger::archived::Archived;
use crate::ledger::checkpoints::Provable;
use crate::ledger::proof::Prover;
use crate::store::{ArchiveError, ArchiveReader, OsFiles};

/// Arguments of `ledger prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// An entry of a log, the identity of what was submitted, or an account.
    #[arg(value_name = "LOG:SEQ:INDEX|IDENTITY|ACCOUNT")]
    what: String,
    /// Also prove that the entry's vertex stands under the log's newest checkpoint.
    #[arg(long)]
    checkpoint: bool,
    /// The archive of `ledger prune`, or an export, that has the body if it was pruned here. The node is stopped for it.
    #[arg(long, value_name = "FILE.car")]
    from: Option<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ProveArgs) -> Outcome {
    let source = args.source.open()?;
    let bytes = prove(&source, args)?;
    let fields = args.json.then(|| json!({}));
    proof_file::write(&args.out, &bytes, "verify-proof", fields)
}

fn prove(source: &Source, args: &ProveArgs) -> anyhow::Result<Vec<u8>> {
    let what = provable(source, &args.what)?;
    let Some(file) = &args.from else {
        return source.proof(&what, args.checkpoint);
    };
    let (history, identity) = source.stopped()?;
    let archive = || -> Result<_, ArchiveError> {
        Archived::new(history, ArchiveReader::open(&OsFiles, file)?)
    };
    let archive = archive().with_context(|| file.display().to_string())?;
    let prover = Prover::new(&archive, &identity.genesis);
    Ok(prover.prove(&what, args.checkpoint)?.to_bytes())
}

/// What is to be proven; a log may be named as people do.
fn provable(source: &Source, what: &str) -> anyhow::Result<Provable> {
    if let Ok(what) = what.parse() {
        return Ok(what);
    }
    let form =
        || format!("{what:?} is no entry (LOG:SEQ:INDEX), no identity (sha256:…) and no account");
    let (position, index) = what.rsplit_once(':').with_context(form)?;
    let (log, seq) = position.rsplit_once(':').with_context(form)?;
    let (seq, index) = (seq.parse(), index.parse());
    let (seq, index) = (seq.with_context(form)?, index.with_context(form)?);
    Ok(Provable::Entry(source.log(Some(log))?, seq, index))
}

pub(super) fn verify(args: &CheckArgs) -> Outcome {
    let verify = |bytes: &[u8], genesis: &Genesis| Proof::read(bytes)?.verify(genesis);
    proof_file::check(args, MAX_PROOF, verify, &Shown { fields, told })
}

fn fields(proof: &VerifiedProof) -> Value {
    let entry = proof.entry.as_ref().map(|entry| {
        let h = &entry.header.header;
        json!({
            "log": h.log, "region": entry.authority.region(), "vertex": entry.vertex,
            "epoch": h.epoch, "seq": h.seq, "index": entry.index, "time": rfc3339(h.time),
            "kind": entry.entry.kind.as_str(),
        })
    });
    let checkpoint = proof.checkpoint.as_ref().map(|held| {
        let h = &held.receipt.header.header;
        json!({
            "log": h.log, "region": held.receipt.authority.region(), "vertex": held.receipt.vertex,
            "epoch": held.body.position.epoch, "seq": held.body.position.seq,
            "vertices_root": held.body.vertices_root, "state_root": held.body.state_root,
        })
    });
    json!({ "valid": true, "entry": entry, "checkpoint": checkpoint, "state": proof.state })
}

fn told(verdict: &Result<VerifiedProof, Refusal>) -> String {
    let proof = match verdict {
        Ok(proof) => proof,
        Err(refusal) => return format!("does NOT hold: {refusal} ({})\n", refusal.code()),
    };
    let mut text = "holds, as its home signed it\n".to_owned();
    if let Some(entry) = &proof.entry {
        let h = &entry.header.header;
        text += &format!(
            "entry      {} of {}, epoch {}, seq {}, index {}\nvertex     {}\ntime       {}\n",
            entry.entry.kind,
            entry.authority.region(),
            h.epoch,
            h.seq,
            entry.index,
            entry.vertex,
            rfc3339(h.time),
        );
    }
    if let Some(Leaf::Account(account)) = &proof.state {
        text += &format!(
            "account    {}\navailable  {}, {} more on its way\n",
            account.account, account.available, account.open_out
        );
    }
    if let Some(held) = &proof.checkpoint {
        text += &format!(
            "checkpoint {} at seq {}: state {}\n",
            held.receipt.authority.region(),
            held.body.position.seq,
            held.body.state_root
        );
    }
    text
}
