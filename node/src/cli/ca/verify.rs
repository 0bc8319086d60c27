//! `ca verify`: judges certificate paths of whatever system, one or a file of them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use city_protocol::amount::Timestamp;
use city_protocol::pki::CertificateRefusal;
use city_protocol::pki::foreign::Usage;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::config::rfc3339;
use crate::crypto::batch::BYTE_ORDER_MARK;
use crate::pki::case::{Case, CrlOptions, MAX_CASE_LINE, Verdict, answer, read_time};

/// Largest PEM file in bytes: as much as one case may have.
const MAX_PEM: u64 = MAX_CASE_LINE as u64;

/// Arguments of `ca verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node ca verify --roots data/ca/tls-root.pem --crl data/ca/tls-root.crl.pem --usage server server.pem
  city-node ca verify --roots roots.pem --intermediates chain.pem --time 2026-04-01T00:00:00Z leaf.pem
  city-node ca verify --batch cases.jsonl

A batch has one JSON object a line: id, leaf (or cert), roots, intermediates, crls (PEM texts, or lists of them; root,
intermediate and crl are the same), time (RFC 3339), usage (client, server or any), name and require_crl; each line is
answered with {\"id\":…,\"ok\":…,\"reason\":…,\"warnings\":[…]}. Fields of x509-limbo's cases, title, description, comment,
note, source, expected and result may stand there, too; a line with any other field is answered with unknown-field.

Paths are judged by RFC 5280. Where lists are given, each certificate of the path needs one that is in date; of this
network's own nodes and people the node itself judges more, and takes stale lists for 45 days (--crl-grace 45).
Exit codes: 0 valid (a batch: every line was answered) · 1 a file cannot be read · 2 wrong usage · 4 not valid.")]
pub struct VerifyArgs {
    /// The certificate; what stands behind it in the file are intermediates.
    #[arg(value_name = "LEAF.pem", required_unless_present = "batch")]
    leaf: Option<PathBuf>,
    /// Trusted certificates; may be repeated, and hold several.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    roots: Vec<PathBuf>,
    /// Certificates that may stand between; may be repeated, and hold several.
    #[arg(long, value_name = "FILE")]
    intermediates: Vec<PathBuf>,
    /// Revocation lists; may be repeated, and hold several.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// When (RFC 3339) [default: now].
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    time: Option<Timestamp>,
    /// What the certificate is to be used for [default: only the path is judged].
    #[arg(long, value_enum)]
    usage: Option<UsageArg>,
    /// A host name, address or mailbox that it must be for.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For how many days past its nextUpdate a list still counts.
    #[arg(long, value_name = "DAYS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3650))]
    crl_grace: u64,
    /// Refuse a path without lists, too.
    #[arg(long)]
    require_crl: bool,
    /// Judge every line of a file (- for standard input).
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["leaf", "roots", "intermediates", "crl", "time", "usage", "name"])]
    batch: Option<PathBuf>,
    /// Print one JSON object; a batch always does, one a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UsageArg {
    Client,
    Server,
}

pub(super) fn run(args: &VerifyArgs) -> Outcome {
    let options = CrlOptions {
        grace_ms: args.crl_grace * 24 * 60 * 60 * 1000,
        required: args.require_crl,
    };
    match (&args.batch, &args.leaf) {
        (Some(batch), _) => answer_all(batch, options),
        (None, Some(leaf)) => answer_one(args, leaf, options),
        (None, None) => unreachable!("clap asks for one of both"),
    }
}

fn answer_one(args: &VerifyArgs, leaf: &Path, options: CrlOptions) -> Outcome {
    let mut case = Case {
        usage: args.usage.map(|usage| match usage {
            UsageArg::Client => Usage::Client,
            UsageArg::Server => Usage::Server,
        }),
        name: args.name.clone(),
        ..Case::default()
    };
    let verdict = match fill(&mut case, args, leaf)? {
        Some(malformed) => malformed,
        None => case.judge(args.time.map_or_else(now, Ok)?, options),
    };
    if args.json {
        output::object(json!({
            "ok": verdict.is_valid(),
            "reason": verdict.reason,
            "detail": verdict.detail,
            "warnings": verdict.warnings,
            "valid_until": verdict.valid_until.map(rfc3339),
        }))?;
    } else {
        output::text(&told(&verdict))?;
    }
    Ok(if verdict.is_valid() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// Reads the files into the case; a file without certificates is a verdict already, as in a batch.
fn fill(case: &mut Case, args: &VerifyArgs, leaf: &Path) -> anyhow::Result<Option<Verdict>> {
    let malformed = |path: &Path, refusal: CertificateRefusal| {
        let detail = format!("{}: {refusal}", path.display());
        Ok(Some(Verdict::refused(refusal.code(), detail)))
    };
    let kinds = [
        (&args.roots, &mut case.roots),
        (&args.intermediates, &mut case.intermediates),
    ];
    for (paths, into) in kinds {
        for path in paths {
            if let Err(refusal) = Case::read_certificates(&read(path)?, into) {
                return malformed(path, refusal);
            }
        }
    }
    for path in &args.crl {
        case.read_crls(&read(path)?);
    }
    match case.read_leaf(&read(leaf)?) {
        Err(refusal) => malformed(leaf, refusal),
        Ok(()) => Ok(None),
    }
}

fn told(verdict: &Verdict) -> String {
    let warnings: String = verdict
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}\n"))
        .collect();
    match (verdict.valid_until, &verdict.detail) {
        (Some(until), _) => format!("valid (until {})\n{warnings}", rfc3339(until)),
        (None, detail) => {
            let detail = detail.as_deref().unwrap_or_default();
            format!("not valid: {} ({detail})\n", verdict.reason)
        }
    }
}

fn answer_all(batch: &Path, options: CrlOptions) -> Outcome {
    let mut lines: Box<dyn BufRead> = if batch == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(batch).with_context(|| batch.display().to_string())?;
        Box::new(BufReader::new(file))
    };
    let now = now()?;
    let mut out = io::stdout().lock();
    let (mut line, mut first) = (Vec::new(), true);
    loop {
        line.clear();
        // One byte more than fits shows that it does not.
        let limit = MAX_CASE_LINE as u64 + 1;
        let read = lines.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.with_context(|| batch.display().to_string())? == 0 {
            break;
        }
        let case = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if first => rest,
            _ => &line,
        };
        first = false;
        if line.len() > MAX_CASE_LINE {
            lines.skip_until(b'\n')?;
        } else if case.trim_ascii().is_empty() {
            continue;
        }
        let answer = answer(case, now, options);
        match writeln!(out, "{answer}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            done => done?,
        }
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let reading = || path.display().to_string();
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(reading)?;
    file.take(MAX_PEM + 1)
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    if bytes.len() as u64 > MAX_PEM {
        anyhow::bail!(
            "{}: larger than {MAX_PEM} bytes; is it the right file?",
            path.display()
        );
    }
    // What is no text holds no PEM, and is judged so.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock is before 1970; set it first")?;
    Ok(Timestamp(u64::try_from(since.as_millis())?))
}
