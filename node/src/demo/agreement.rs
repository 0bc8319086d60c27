//! The end of the story: the nodes come to agree, and each of them checks itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use city_protocol::ids::Digest;

use super::report::{NodeReport, RefusalReport, Report, Teller};
use super::story::{AGREE_WITHIN, POLL, Stage};
use crate::admin::pages::{AuditPage, Status, VerifyPage};

/// How long nothing may be in flight before they are believed to agree.
const QUIET: Duration = Duration::from_secs(1);

/// Waits until all nodes report the same frontier with nothing in flight for a second.
pub(super) async fn agree(teller: &mut Teller, stage: &Stage) -> Result<()> {
    let begun = Instant::now();
    let mut quiet_since: Option<(Instant, Digest)> = None;
    loop {
        let mut frontiers = Vec::new();
        let mut in_flight = 0;
        for node in &stage.nodes {
            let status = node.status().await?;
            frontiers.push(status.frontier_hash);
            in_flight += status.in_flight;
        }
        let same = frontiers.windows(2).all(|pair| pair[0] == pair[1]);
        let frontier = frontiers[0];
        quiet_since = match quiet_since {
            _ if !same || in_flight > 0 => None,
            Some((since, before)) if before == frontier => Some((since, before)),
            _ => Some((Instant::now(), frontier)),
        };
        if quiet_since
            .as_ref()
            .is_some_and(|(since, _)| since.elapsed() >= QUIET)
        {
            break;
        }
        ensure!(
            begun.elapsed() < AGREE_WITHIN,
            "the three nodes did not come to agree"
        );
        tokio::time::sleep(POLL).await;
    }
    teller.done(
        "agree",
        begun,
        "All three nodes report the same heads, and nothing is in flight for a second.",
    );
    Ok(())
}

/// Every node checks itself: balances, conservation, journal, every hash and signature.
pub(super) async fn verify(
    teller: &mut Teller,
    stage: &Stage,
    refusal: Option<RefusalReport>,
) -> Result<Report> {
    let begun = Instant::now();
    let mut report = Report {
        schema: 1,
        ok: false,
        conserved: true,
        journal_matches: true,
        nodes: Vec::new(),
        steps: Vec::new(),
        refusal,
    };
    let mut problems = Vec::new();
    for (i, node) in stage.nodes.iter().enumerate() {
        let (status, audit, checked) = (
            node.status().await?,
            node.audit().await?,
            node.verify().await?,
        );
        report.conserved &= audit.conserved;
        report.journal_matches &= audit.journal_matches;
        let name = &stage.cast[i].plan.name;
        problems.extend(
            checked
                .problems
                .iter()
                .map(|problem| format!("{name}: {problem}")),
        );
        report
            .nodes
            .push(node_report(stage, i, &status, &audit, &checked));
    }
    let equal = |of: fn(&NodeReport) -> String| {
        report
            .nodes
            .windows(2)
            .all(|pair| of(&pair[0]) == of(&pair[1]))
    };
    let agree =
        equal(|node| format!("{:?}", node.heads)) && equal(|node| format!("{:?}", node.balances));
    report.ok = report.conserved && report.journal_matches && agree && problems.is_empty();
    teller.done(
        "verify",
        begun,
        "Every node checks its balances, sums, journal, hashes and signatures.",
    );
    for problem in &problems {
        teller.detail(problem);
    }
    report.steps = teller.steps.clone();
    Ok(report)
}

fn node_report(
    stage: &Stage,
    i: usize,
    status: &Status,
    audit: &AuditPage,
    checked: &VerifyPage,
) -> NodeReport {
    let city = &stage.cast[i];
    let heads = status.frontier.iter();
    let balances = audit.available.iter();
    NodeReport {
        region: city.plan.region.to_string(),
        name: city.plan.name.clone(),
        peer_id: city.report.peer_id.to_string(),
        heads: heads
            .map(|head| (head.log.to_string(), head.head.clone()))
            .collect(),
        balances: balances
            .map(|(account, sum)| (account.to_string(), sum.clone()))
            .collect(),
        place: stage.places[i].clone(),
        postings: audit.postings,
        signatures: checked.signatures,
    }
}
