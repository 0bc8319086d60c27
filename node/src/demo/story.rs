//! The story, step by step: a sender in the first municipality pays a receiver in the second.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use city_protocol::amount::Amount;
use city_protocol::crypto::Signer;
use city_protocol::ids::{AccountId, Digest};

use super::DemoOptions;
use super::agreement::{agree, verify};
use super::cast::{Municipality, OFFICERS, found, plans};
use super::nodes::Node;
use super::payment::{accept, pay};
use super::receivers::Receiver;
use super::report::{Report, Teller};
use crate::admin::pages;
use crate::api::wire::NodePage;
use crate::client::ApiClient;
use crate::client::officer;
use crate::client::person::Person;
use crate::engine::utc;
use crate::pki::{Authority, Validity};
use crate::setup::{load_identity, write_config};

/// Granted to the sender, in hundredths: 1,000.00.
const GRANT: u64 = 100_000;
/// How long the nodes may take to agree.
pub(super) const AGREE_WITHIN: Duration = Duration::from_secs(15);
/// How long a receiver may take to its first fix.
const FIX_WITHIN: Duration = Duration::from_secs(8);
/// Pause between two questions.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// Days for which a person's certificate is valid.
const CLIENT_DAYS: u64 = 365;

/// Everything that the story holds open.
pub(super) struct Stage {
    pub(super) cast: Vec<Municipality>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) nodes: Vec<Node>,
    /// What each node said of its place when the transfer was made.
    pub(super) places: Vec<pages::Place>,
    /// Identity of the transfer, once it is booked.
    pub(super) transfer: Option<Digest>,
}

/// A person with a client at their home.
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) person: Person,
    pub(super) home: NodePage,
    pub(super) api: ApiClient,
}

impl Actor {
    pub(super) fn account(&self) -> AccountId {
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
    let authority = Authority::open(&root.join("ca"), None)?;
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
        api.login(&person).await?;
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
        .grant(&officer::sign_together(&grant, &officers)?)
        .await?;
    let line = format!(
        "{} of {} officers grant {} {amount} 愛貨.",
        OFFICERS.1, OFFICERS.0, sender.name
    );
    teller.done("grant", begun, &line);
    Ok(())
}

/// Waits until every node with a receiver has seen a fix.
pub(super) async fn await_fixes(nodes: &[Node]) -> Result<()> {
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

impl Stage {
    /// Nothing on it yet.
    pub(super) const fn empty() -> Self {
        Self {
            cast: Vec::new(),
            receivers: Vec::new(),
            nodes: Vec::new(),
            places: Vec::new(),
            transfer: None,
        }
    }

    /// Where all data directories stand.
    pub(super) fn root(&self) -> &Path {
        let first = self.cast.first().and_then(|city| city.data.path().parent());
        first.unwrap_or(Path::new("."))
    }

    /// Name of the first municipality's data directory.
    pub(super) fn first_directory(&self) -> &str {
        self.cast
            .first()
            .map_or("", |city| city.plan.region.municipality())
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
        for city in &mut self.cast {
            // Its pseudo-terminal is gone; the name may soon be somebody else's terminal.
            if city.config.gnss.device.take().is_some() {
                first = first.and(write_config(&city.data, &city.config).map_err(Into::into));
            }
        }
        first
    }
}
