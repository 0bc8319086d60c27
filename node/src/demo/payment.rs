//! The middle of the story: place, transfer, receipt, acceptance, settlement.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use city_protocol::amount::Amount;
use city_protocol::body::{AccountTitle, PrivateField};
use city_protocol::genesis::Genesis;
use city_protocol::vertex::Receipt;

use super::report::{RefusalReport, Teller};
use super::story::{AGREE_WITHIN, Actor, POLL, Stage, await_fixes};
use crate::api::wire::KeptAs;
use crate::client::ClientError;
use crate::client::person::{Order, random};
use crate::engine::utc;

/// Sent, in hundredths: 123.45.
const SENT: u64 = 12_345;

/// The sender proves place, signs and submits; gives the refusal if the home refuses.
pub(super) async fn pay(
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
    let (signed, private) = sender.person.transfer(&order)?;
    let sent = order.amount;
    match sender.api.transfer_with(&signed, &private).await {
        Ok(booked) => {
            stage.transfer = Some(booked.identity);
            let line = format!(
                "{} signs and sends {sent} 愛貨 over HTTPS; the home answers with a receipt.",
                sender.name
            );
            teller.done("transfer", begun, &line);
            teller.detail(&format!("transfer {}", booked.identity));
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
    let file = stage.root().join(super::RECEIPT);
    std::fs::write(&file, bytes)
        .with_context(|| format!("{} cannot be written", file.display()))?;
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
pub(super) async fn accept(
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
    private(teller, stage, receiver).await?;
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

/// What the sender wrote privately reaches the receiver's home, and no other.
async fn private(teller: &mut Teller, stage: &Stage, receiver: &Actor) -> Result<()> {
    let begun = Instant::now();
    let transfer = stage.transfer.context("nothing was sent")?;
    let mut kept = [KeptAs::Nothing; 3];
    while kept[1] != KeptAs::Values {
        for (kept, node) in kept.iter_mut().zip(&stage.nodes) {
            *kept = node.private(&transfer).await?;
        }
        ensure!(
            begun.elapsed() < AGREE_WITHIN,
            "the private values did not reach {}",
            receiver.name
        );
        tokio::time::sleep(POLL).await;
    }
    let expected = [KeptAs::Values, KeptAs::Values, KeptAs::Nothing];
    ensure!(
        kept == expected,
        "private values stand where they should not: {kept:?}"
    );
    let page = receiver.api.private(&receiver.account(), &transfer).await?;
    let subject = page.values.get(&PrivateField::Subject);
    let subject = subject.context("the subject is missing")?;
    let names = [0, 1, 2].map(|i| stage.cast[i].plan.name.as_str());
    teller.done(
        "private",
        begun,
        &format!(
            "{} reads what it is for: 「{}」. {} and {} keep it encrypted, {} has the digest only.",
            receiver.name,
            subject.expose_value(),
            names[0],
            names[1],
            names[2]
        ),
    );
    Ok(())
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
