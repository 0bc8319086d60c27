//! `init --role terminal`: a kiosk's data directory, made beside the CA and carried to the box.

use anyhow::Context as _;
use serde_json::json;

use super::super::ca::unlock;
use super::super::exit::{Exit, Failure, Outcome};
use super::super::output;
use super::super::passphrase::PassphraseArgs;
use super::{InitArgs, boundaries_told, configuration, leftovers_told, now, start_told};
use crate::config::Terminal;
use crate::setup::{DataDir, TerminalReport, TerminalRequest, init_terminal};

pub(super) fn run(args: InitArgs) -> Outcome {
    let json = args.json;
    let request = request(args)?;
    let progress = output::spinner("making keys and certificates, reading boundaries");
    let report = init_terminal(request);
    progress.finish_and_clear();
    let report = report?;
    if json {
        output::object(json!({
            "role": "terminal",
            "data_dir": report.data.path(),
            "config": report.data.config(),
            "network": report.network,
            "region": report.region,
            "suite": report.suite,
            "log": report.log,
            "peer_id": report.peer_id.to_string(),
            "tls_root": report.data.tls_root(),
            "boundary": report.boundary,
            "leftovers": report.leftovers,
        }))?;
    } else {
        output::text(&told(&report))?;
    }
    Ok(Exit::Ok)
}

fn request(args: InitArgs) -> Result<TerminalRequest, Failure> {
    let usage = |what: &'static str| Failure::new(Exit::Usage, anyhow::anyhow!(what));
    if !args.officers.is_empty() || args.officers_needed.is_some() || !args.witnesses.is_empty() {
        return Err(usage(
            "--officer, --officers-needed and --witness stand in the home's charter; leave them out for a terminal",
        ));
    }
    let Some(ca) = args.network.network.clone() else {
        return Err(usage(
            "a terminal belongs to a network that is there: name its CA's directory with --network",
        ));
    };
    let mut config = configuration(&args);
    let home = args.home.ok_or_else(|| {
        usage("--home URL is needed for a terminal: the home's app port, such as https://node.example:8443")
    })?;
    let charter = args.home_charter.ok_or_else(|| {
        usage("--home-charter FILE is needed for a terminal: charter.json of the home's data directory")
    })?;
    if args.home_peers.is_empty() {
        return Err(usage(
            "--home-peer MULTIADDR is needed for a terminal: where the home's peers reach it, such as /dns/node.example/tcp/7420",
        ));
    }
    config.terminal = Some(Terminal::of(home));
    let passphrase = unlock(&ca, &PassphraseArgs::from_file(args.ca_passphrase_file))
        .context("the CA's keys are sealed; give --ca-passphrase-file FILE")?;
    Ok(TerminalRequest {
        data: DataDir::new(args.data_dir),
        config,
        home_addresses: args.home_peers,
        ca,
        passphrase,
        charter,
        suite: args.suite,
        boundary: args.boundary.source(),
        api_names: args.api_names,
        now: now()?,
    })
}

fn told(report: &TerminalReport) -> String {
    let TerminalReport {
        data,
        network,
        region,
        log,
        peer_id,
        ..
    } = report;
    format!(
        "{directory} is ready.\n\
         terminal of {region}\n\
         network  {network}\n\
         log      {log}  (the home's; a terminal has none)\n\
         peer id  {peer_id}\n\
         {boundaries}{leftovers}\n\
         Next:\n  \
         1. let the home know it: put this into the home's config.toml and restart the home\n     \
         [[network.peer]]\n     \
         peer_id = \"{peer_id}\"\n     \
         name = \"kiosk\"\n     \
         region = \"{region}\"\n  \
         2. carry the directory to the box, if it was made elsewhere; read and edit {config}\n  \
         3. city-node config check {config}\n  \
         4. {start}\n\
         Apps at the kiosk trust {tls_root}.\n",
        directory = data.path().display(),
        boundaries = boundaries_told(report.boundary.as_ref()),
        leftovers = leftovers_told(&report.leftovers),
        config = data.config().display(),
        start = start_told(data),
        tls_root = data.tls_root().display(),
    )
}
