//! `ledger prove` and `ledger verify-proof`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::checkpoint::{Leaf, MAX_PROOF, Proof, VerifiedProof};
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::ids::{AccountId, Digest};
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::{input, output};
use super::source::{Source, SourceArgs};
use crate::config::rfc3339;
use crate::ledger::proof::Prover;

/// Arguments of `ledger prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// An entry of a log, the identity of what was submitted, or an account.
    #[arg(value_name = "LOG:SEQ:INDEX|IDENTITY|ACCOUNT")]
    what: String,
    /// Also prove that the entry's vertex stands under the log's newest checkpoint.
    #[arg(long)]
    checkpoint: bool,
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

/// Arguments of `ledger verify-proof`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The proof; - reads standard input.
    file: PathBuf,
    /// The network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ProveArgs) -> Outcome {
    let source = args.source.open()?;
    let proof = prove(&source, &args.what, args.checkpoint)?;
    let bytes = proof.to_bytes();
    input::write_new(&args.out, &bytes)?;
    if args.json {
        output::object(json!({ "file": args.out, "bytes": bytes.len() }))?;
    } else {
        output::text(&format!(
            "{}: {} bytes; check it with: city-node ledger verify-proof {} --genesis GENESIS\n",
            args.out.display(),
            bytes.len(),
            args.out.display()
        ))?;
    }
    Ok(Exit::Ok)
}

fn prove(source: &Source, what: &str, checkpoint: bool) -> anyhow::Result<Proof> {
    let (history, identity) = source.stopped()?;
    let prover = Prover::new(history, &identity.genesis);
    if let Ok(account) = what.parse::<AccountId>() {
        let heads = source.heads()?.heads;
        let home = heads.iter().map(|head| head.of.log);
        let home = home.into_iter().find(|log| account.is_of(log));
        let home = home.context("this node does not know that account's home")?;
        return Ok(prover.account(&home, &account)?);
    }
    let (log, at) = if let Ok(submitted) = what.parse::<Digest>() {
        prover
            .find(&submitted)
            .context("nothing with that identity is booked here")?
    } else {
        let form = || {
            format!("{what:?} is no entry (LOG:SEQ:INDEX), no identity (sha256:…) and no account")
        };
        let (position, index) = what.rsplit_once(':').with_context(form)?;
        let (log, seq) = position.rsplit_once(':').with_context(form)?;
        let (seq, index) = (seq.parse(), index.parse());
        let (seq, index) = (seq.with_context(form)?, index.with_context(form)?);
        let log = source.log(Some(log))?;
        let at = prover.at(&log, seq, index);
        (log, at.context("nothing of that log is here")?)
    };
    Ok(prover.entry(&log, at, checkpoint)?)
}

/// The genesis record in a file.
pub(super) fn genesis(file: &Path) -> anyhow::Result<Genesis> {
    Genesis::read(&input::read(file, MAX_GENESIS)?).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a genesis record ({refusal}); copy it from the network's CA or a data directory",
            file.display()
        )
    })
}

pub(super) fn verify(args: &VerifyArgs) -> Outcome {
    let genesis = genesis(&args.genesis)?;
    let bytes = input::read(&args.file, MAX_PROOF)?;
    let verdict = Proof::read(&bytes).and_then(|proof| proof.verify(&genesis));
    if args.json {
        output::object(match &verdict {
            Ok(proof) => fields(proof),
            Err(refusal) => refused(*refusal),
        })?;
    } else {
        output::text(&told(&args.file, &verdict))?;
    }
    Ok(match verdict {
        Ok(_) => Exit::Ok,
        Err(_) => Exit::CheckFailed,
    })
}

/// How a refusal looks in JSON.
pub(super) fn refused(refusal: Refusal) -> Value {
    json!({ "valid": false, "code": refusal.code(), "reason": refusal.to_string() })
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

fn told(file: &Path, verdict: &Result<VerifiedProof, Refusal>) -> String {
    let file = file.display();
    let proof = match verdict {
        Ok(proof) => proof,
        Err(refusal) => {
            return format!("{file}: does NOT hold: {refusal} ({})\n", refusal.code());
        }
    };
    let mut text = format!("{file}: holds, as its home signed it\n");
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
