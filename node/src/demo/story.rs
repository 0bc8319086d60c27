//! The story, step by step: a sender in the first municipality pays a receiver in the second.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use city_protocol::amount::Amount;
use city_protocol::body::AccountTitle;
use city_protocol::crypto::Signer;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{AccountId, Digest};
use city_protocol::vertex::Receipt;

use super::DemoOptions;
use super::cast::{Municipality, OFFICERS, found, plans};
use super::nodes::Node;
use super::receivers::Receiver;
use super::report::{NodeReport, RefusalReport, Report, Teller};
use crate::admin::pages::{self, AuditPage, Status, VerifyPage};
use crate::api::wire::NodePage;
use crate::client::officer;
use crate::client::person::{Order, Person, random};
use crate::client::{ApiClient, ClientError};
use crate::engine::utc;
use crate::pki::{Authority, Validity};
use crate::setup::{load_identity, write_config};

/// Granted to the sender, in hundredths: 1,000.00.
const GRANT: u64 = 100_000;
/// Sent, in hundredths: 123.45.
const SENT: u64 = 12_345;
/// How long the nodes may take to agree.
const AGREE_WITHIN: Duration = Duration::from_secs(15);
/// How long nothing may be in flight before they are believed to agree.
const QUIET: Duration = Duration::from_secs(1);
/// How long a receiver may take to its first fix.
const FIX_WITHIN: Duration = Duration::from_secs(8);
/// Pause between two questions.
const POLL: Duration = Duration::from_millis(50);
/// Days for which a person's certificate is valid.
const CLIENT_DAYS: u64 = 365;

/// Everything that the story holds open.
pub(super) struct Stage {
    cast: Vec<Municipality>,
    receivers: Vec<Receiver>,
    nodes: Vec<Node>,
    /// What each node said of its place when the transfer was made.
    places: Vec<pages::Place>,
}

/// A person with a client at their home.
struct Actor {
    name: String,
    person: Person,
    home: NodePage,
    api: ApiClient,
}

impl Actor {
    fn account(&self) -> AccountId {
        self.person.account()
    }
}

/// Tells the story and gives the report; whatever was started is stopped by the caller.
pub(super) async fn tell(
    root: &Path,
    options: &DemoOptions,
    teller: &mut Teller,
    stage: &mut Stage,
) -> Result<(Report, Vec<(String, String)>)> {
    raise(root, options, teller, stage).await?;
    let (sender, receiver) = enrol(root, teller, stage).await?;
    grant(teller, stage, &sender).await?;
    let refusal = pay(teller, stage, &sender, &receiver).await?;
    let expected_refusal = options.replay.is_some() && !options.assume_recorded;
    match (&refusal, expected_refusal) {
        (Some(refused), false) => bail!("the transfer was refused: {}", refused.code),
        (None, true) => bail!("an old recording passed as a live receiver: this is a bug"),
        _ => {}
    }
    if refusal.is_none() {
        accept(teller, stage, &sender, &receiver).await?;
    }
    agree(teller, stage).await?;
    let report = verify(teller, stage, refusal).await?;
    let people = vec![
        (
            format!("{} (sender)", sender.name),
            sender.account().to_string(),
        ),
        (
            format!("{} (receiver)", receiver.name),
            receiver.account().to_string(),
        ),
    ];
    Ok((report, people))
}

/// CA, genesis, three municipalities with receivers and nodes.
async fn raise(
    root: &Path,
    options: &DemoOptions,
    teller: &mut Teller,
    stage: &mut Stage,
) -> Result<()> {
    let begun = Instant::now();
    let plans = plans(
        options.replay.as_deref(),
        options.boundaries.as_deref(),
        options.assume_recorded,
    )?;
    stage.cast = found(root, plans, utc())?;
    let first = &stage.cast[0].report;
    teller.done(
        "found",
        begun,
        "A network is founded: certificate authority, genesis, three charters.",
    );
    teller.detail(&format!("network {}", first.network));
    for city in &stage.cast {
        teller.detail(&format!(
            "{} {} — log {}…",
            city.plan.name,
            city.plan.region,
            &city.report.log.to_string()[..12]
        ));
    }

    let begun = Instant::now();
    for city in &mut stage.cast {
        let (receiver, device) = Receiver::plug_in(city)?;
        city.config.gnss.device = Some(device);
        write_config(&city.data, &city.config)?;
        stage.receivers.push(receiver);
        stage.nodes.push(Node::start(city)?);
    }
    for node in &mut stage.nodes {
        node.ready().await?;
    }
    teller.done(
        "start",
        begun,
        "Three nodes start as separate processes, each with a GPS receiver on a serial line.",
    );
    Ok(())
}

/// Two people make keys that only they hold, and open accounts.
async fn enrol(root: &Path, teller: &mut Teller, stage: &Stage) -> Result<(Actor, Actor)> {
    let begun = Instant::now();
    let authority = Authority::open(&root.join("ca"))?;
    let mut actors = Vec::new();
    for (city, name) in stage.cast.iter().zip(["千代女", "与謝"]) {
        let roots = [load_identity(&city.data)?.tls_root];
        let api = ApiClient::new(&format!("https://{}", city.config.api.listen), &roots)?;
        let home = api.node().await?;
        let person = Person::generate(&home);
        let validity = Validity::days(utc(), CLIENT_DAYS);
        let certificate =
            person.request_certificate(|request| authority.issue_client(request, validity))?;
        api.enrol(&person.enrol(&certificate, utc())?, &certificate, &[])
            .await?;
        actors.push(Actor {
            name: name.into(),
            person,
            home,
            api,
        });
    }
    let receiver = actors.pop().expect("two people were enrolled");
    let sender = actors.pop().expect("two people were enrolled");
    let names: Vec<_> = stage
        .cast
        .iter()
        .map(|city| city.plan.name.as_str())
        .collect();
    teller.done(
        "enrol",
        begun,
        &format!(
            "{} opens an account in {}, {} in {}; their Dilithium5 and NTRU keys never leave them.",
            sender.name, names[0], receiver.name, names[1]
        ),
    );
    teller.detail(&format!("sender   {}", sender.account()));
    teller.detail(&format!("receiver {}", receiver.account()));
    Ok((sender, receiver))
}

/// Two of three officers give the sender 1,000.00.
async fn grant(teller: &mut Teller, stage: &Stage, sender: &Actor) -> Result<()> {
    let begun = Instant::now();
    let officers: Vec<&dyn Signer> = stage.cast[0]
        .officers
        .iter()
        .take(2)
        .map(|key| key as &dyn Signer)
        .collect();
    let amount = Amount::from_hundredths(GRANT);
    let node = sender.api.node().await?;
    let grant = officer::grant(&node, sender.account(), amount, "demo", utc())?;
    sender
        .api
        .grant(&officer::sign_grant(&grant, &officers)?)
        .await?;
    let line = format!(
        "{} of {} officers grant {} {amount} 愛貨.",
        OFFICERS.1, OFFICERS.0, sender.name
    );
    teller.done("grant", begun, &line);
    Ok(())
}

/// The sender proves place, signs and submits; gives the refusal if the home refuses.
async fn pay(
    teller: &mut Teller,
    stage: &mut Stage,
    sender: &Actor,
    receiver: &Actor,
) -> Result<Option<RefusalReport>> {
    let begun = Instant::now();
    let played = stage.receivers[0].play().await?;
    await_fixes(&stage.nodes).await?;
    for node in &stage.nodes {
        stage.places.push(node.status().await?.place);
    }
    let mut order = Order::new(
        receiver.account(),
        &receiver.home,
        Amount::from_hundredths(SENT),
    );
    order.subject = "畑の手伝いのお礼".into();
    order.details = "半日の草取り".into();
    order.location = stage.cast[0].plan.name.clone();
    order.account_title = Some(AccountTitle::Expense);
    order.message = Some((
        receiver.person.kem().public().clone(),
        "ありがとうございました".into(),
    ));
    let place = sender
        .api
        .place(&sender.account(), &order.transfer_id, &random())
        .await?;
    let from = played.map_or_else(
        || "A simulated receiver".to_owned(),
        |bytes| format!("A recorded receiver ({bytes} bytes)"),
    );
    teller.done(
        "place",
        begun,
        &format!(
            "{from} says where the sender's home is: {} — {}.",
            place_name(stage, place.municipality.as_deref()),
            place.grade
        ),
    );
    teller.detail(&format!(
        "why no better grade: {}",
        place.reasons.join(", ")
    ));

    let begun = Instant::now();
    order.proof_of_place = place.digest;
    order.sequence = sender.api.account(&sender.account()).await?.next_sequence;
    order.created_at = utc();
    let (signed, _private) = sender.person.transfer(&order)?;
    let sent = order.amount;
    match sender.api.transfer(&signed).await {
        Ok(booked) => {
            let line = format!(
                "{} signs and sends {sent} 愛貨 over HTTPS; the home answers with a receipt.",
                sender.name
            );
            teller.done("transfer", begun, &line);
            teller.detail(&format!(
                "transaction hash {}",
                signed.body().transaction_hash()
            ));
            teller.detail(&format!(
                "vertex {}, entry {}",
                booked.vertex, booked.at.index
            ));
            check_receipt(teller, stage, &booked.receipt)?;
            Ok(None)
        }
        Err(ClientError::Problem(problem)) => {
            let line = format!(
                "{} sends {sent} 愛貨; the home refuses: {}.",
                sender.name, problem.code
            );
            teller.done("transfer", begun, &line);
            teller.detail(&problem.title);
            Ok(Some(RefusalReport {
                code: problem.code,
                detail: problem.title,
            }))
        }
        Err(error) => Err(error).context("the transfer could not be submitted"),
    }
}

/// Verifies a receipt with nothing but the genesis record, as a citizen would years later.
fn check_receipt(teller: &mut Teller, stage: &Stage, bytes: &[u8]) -> Result<()> {
    let begun = Instant::now();
    let genesis = std::fs::read(stage.cast[2].data.genesis()).context("the genesis record")?;
    let genesis = Genesis::read(&genesis).context("the genesis record")?;
    let verified = Receipt::read(bytes)?
        .verify(&genesis)
        .context("the receipt does not hold")?;
    teller.done(
        "receipt",
        begun,
        &format!(
            "The receipt ({} bytes) is verified offline, with the genesis record only: signed by {}.",
            bytes.len(),
            verified.authority.region()
        ),
    );
    Ok(())
}

/// The transfer travels; the receiver takes it.
async fn accept(
    teller: &mut Teller,
    stage: &Stage,
    sender: &Actor,
    receiver: &Actor,
) -> Result<()> {
    let begun = Instant::now();
    let incoming = loop {
        let waiting = receiver
            .api
            .incoming(&receiver.account(), None)
            .await?
            .transfers;
        if let Some(incoming) = waiting.into_iter().next() {
            break incoming;
        }
        ensure!(
            begun.elapsed() < AGREE_WITHIN,
            "the transfer did not reach {}",
            receiver.name
        );
        tokio::time::sleep(POLL).await;
    };
    teller.done(
        "sync",
        begun,
        &format!(
            "The transfer reaches {} over libp2p with mutual TLS 1.3.",
            stage.cast[1].plan.name
        ),
    );
    let begun = Instant::now();
    let sequence = receiver
        .api
        .account(&receiver.account())
        .await?
        .next_sequence;
    receiver
        .api
        .accept(&receiver.person.accept(&incoming, sequence, utc())?)
        .await?;
    teller.done(
        "accept",
        begun,
        &format!("{} accepts; their home books it.", receiver.name),
    );

    let begun = Instant::now();
    loop {
        let account = sender.api.account(&sender.account()).await?;
        if account.open_out == Amount::ZERO {
            break;
        }
        ensure!(
            begun.elapsed() < AGREE_WITHIN,
            "the transfer was not settled"
        );
        tokio::time::sleep(POLL).await;
    }
    teller.done(
        "settle",
        begun,
        &format!(
            "{} settles the transfer with the receiver's acceptance as proof.",
            stage.cast[0].plan.name
        ),
    );
    Ok(())
}

/// Waits until every node with a receiver has seen a fix.
async fn await_fixes(nodes: &[Node]) -> Result<()> {
    let begun = Instant::now();
    for node in nodes {
        loop {
            let status = node.status().await?;
            if status.place.lat.is_some() {
                break;
            }
            ensure!(
                begun.elapsed() < FIX_WITHIN,
                "a receiver gave no fix: {:?}",
                status.receiver
            );
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

/// Waits until all nodes report the same frontier with nothing in flight for a second.
async fn agree(teller: &mut Teller, stage: &Stage) -> Result<()> {
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
async fn verify(
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
            .filter_map(|head| Some((head.log.to_string(), head.vertex?.to_string())))
            .collect(),
        balances: balances
            .map(|(account, sum)| (account.to_string(), sum.clone()))
            .collect(),
        place: stage.places[i].clone(),
        postings: audit.postings,
        signatures: checked.signatures,
    }
}

fn place_name(stage: &Stage, code: Option<&str>) -> String {
    let Some(code) = code else {
        return "no municipality".into();
    };
    let name = stage.cast[0]
        .plan
        .boundary
        .municipality(code)
        .map(|m| m.name.clone());
    name.map_or_else(|| code.to_owned(), |name| format!("{name} ({code})"))
}

impl Stage {
    /// Nothing on it yet.
    pub(super) const fn empty() -> Self {
        Self {
            cast: Vec::new(),
            receivers: Vec::new(),
            nodes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Stops what was started, in order; the first failure is told after all were tried.
    pub(super) async fn clear(&mut self) -> Result<()> {
        let stops = self.nodes.drain(..).map(Node::stop);
        let mut first = Ok(());
        let mut running: tokio::task::JoinSet<Result<()>> = tokio::task::JoinSet::new();
        for stop in stops {
            running.spawn(stop);
        }
        while let Some(stopped) = running.join_next().await {
            let stopped = stopped.context("stopping a node").and_then(|inner| inner);
            first = first.and(stopped);
        }
        self.receivers.clear();
        first
    }
}
