//! What an app does, from the keys to a receipt that is verified offline: `cargo run -p city-protocol --example pay`.
//!
//! Everything between the two lines of `pay` that say "home" is the app's, on the person's own device; what the two
//! homes do stands in `town`. With `GENESIS RECEIPT` it verifies a receipt from elsewhere instead, such as one of
//! `city-node demo --keep DIR`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "the homes are those of the tests, which stop where something does not hold"
)]

#[path = "../../../../tests/protocol/ca.rs"]
mod ca;
#[path = "../../../../tests/protocol/disk.rs"]
mod disk;
#[path = "../../../../tests/protocol/home.rs"]
mod home;
#[path = "../../../../tests/protocol/keys.rs"]
mod keys;
#[path = "../../../../tests/protocol/memo.rs"]
mod memo;
#[path = "../../../../tests/protocol/people.rs"]
mod people;
mod town;
#[path = "../../../../tests/protocol/world.rs"]
mod world;

use std::error::Error;
use std::ffi::OsString;

use city_protocol::Refusal;
use city_protocol::body::{PrivateField, Transfer, read_person_body};
use city_protocol::client::person::Person;
use city_protocol::client::{Order, Waiting};
use city_protocol::crypto::SealedBoxContext;
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::vertex::{MAX_RECEIPT, Receipt, VerifiedReceipt};

use town::Town;
use world::{KANAZAWA, KOMATSU};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let told = match arguments.as_slice() {
        [] => pay()?,
        [genesis, receipt] => {
            let receipt = verified(&read(genesis, MAX_GENESIS)?, &read(receipt, MAX_RECEIPT)?)?;
            told(&receipt)
        }
        _ => return Err("usage: pay [GENESIS RECEIPT]".into()),
    };
    print!("{told}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program reads files")]
fn read(path: &OsString, limit: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    if bytes.len() > limit {
        return Err(format!("{}: longer than {limit} bytes", path.display()).into());
    }
    Ok(bytes)
}

/// A receipt is judged with nothing but the network's genesis record.
fn verified(genesis: &[u8], receipt: &[u8]) -> Result<VerifiedReceipt, Refusal> {
    Receipt::read(receipt)?.verify(&Genesis::read(genesis)?)
}

fn told(receipt: &VerifiedReceipt) -> String {
    let h = &receipt.header.header;
    format!(
        "the receipt holds: {} booked {} at epoch {}, seq {}, index {}\n",
        receipt.authority.region(),
        receipt.entry.kind,
        h.epoch,
        h.seq,
        receipt.index
    )
}

/// 花子 of 金沢市 pays 太郎 of 小松市.
fn pay() -> Result<String, Refusal> {
    let mut town = Town::new();
    let genesis = town.genesis();
    let mut out = String::new();

    // Keys. They never leave the device; what the homes and the CA get is public.
    let hanako = Person::generate(town.home(KANAZAWA));
    let taro = Person::generate(town.home(KOMATSU));
    town.open_accounts([(KANAZAWA, &hanako), (KOMATSU, &taro)])?;
    town.grant(KANAZAWA, &hanako, "1000.00")?;
    out += &format!(
        "sender   {}\nreceiver {}\n",
        hanako.account(),
        taro.account()
    );

    // The order: a fresh transfer id, then the proof of place for exactly that id. The message is sealed for 太郎's key.
    let mut order = Order::new(taro.account(), town.home(KOMATSU), "123.45".parse()?);
    order.sequence = 1;
    order.created_at = town.now();
    order.subject = "野菜のお礼".into();
    order.details = "葱を十本".into();
    order.location = "近江町市場".into();
    order.message = Some((taro.kem().public().clone(), "おいしかったです".into()));
    let proof = town.place(KANAZAWA, &hanako, order.transfer_id);
    proof.binds(&town.network(), &hanako.account(), &order.transfer_id)?;
    order.proof_of_place = proof.digest();

    // Signed; the private values and their salts go to the two homes beside it, and are kept here to prove them later.
    let (signed, private) = hanako.transfer(&order)?;
    private.check(signed.body())?;
    let hash = signed.body().transaction_hash();
    out += &format!(
        "signed   {} bytes, transaction hash {hash}\n",
        signed.bytes().len()
    );

    // 花子's home books it and answers with a receipt, which needs no trust in whoever handed it over.
    let receipt = town.send(KANAZAWA, &hanako, signed)?;
    let held = verified(&genesis, &receipt)?;
    out += &told(&held);
    let balance = held
        .entry
        .booked
        .balance_after
        .expect("a transfer's has one");
    out += &format!("balance  {balance} after it\n");

    // 太郎 reads what he was sent out of that receipt, opens the message, and accepts.
    let transfer: Transfer = read_person_body(&held.entry.body)?;
    let context = SealedBoxContext {
        network: transfer.network,
        sender: transfer.sender,
        receiver: transfer.receiver,
        transfer_id: transfer.transfer_id,
    };
    let sealed = transfer.message.as_ref().ok_or(Refusal::BadField)?;
    let message = taro.kem().open(&context, sealed)?;
    out += &format!("message  {}\n", String::from_utf8_lossy(&message));
    let accept = taro.accept(Waiting::of(&held)?, 1, town.now())?;
    let receipt = town.accept(KOMATSU, &taro, accept)?;
    out += &told(&verified(&genesis, &receipt)?);

    // A value that is shown with its salt is proven by the receipt; another value is not.
    let shown = private
        .get(PrivateField::Subject)
        .ok_or(Refusal::BadField)?;
    shown.check(PrivateField::Subject, &transfer)?;
    out += &format!(
        "proven   {}: {}\n",
        PrivateField::Subject,
        shown.expose_value()
    );
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_way_ends_with_receipts_that_hold() {
        let told = pay().unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[3].starts_with("the receipt holds: Asia/JP/17/17201 booked transfer"));
        assert_eq!(lines[4], "balance  876.55 after it");
        assert_eq!(lines[5], "message  おいしかったです");
        assert!(lines[6].starts_with("the receipt holds: Asia/JP/17/17203 booked accept"));
        assert_eq!(lines[7], "proven   subject: 野菜のお礼");
    }

    #[test]
    fn a_receipt_of_another_network_or_with_another_byte_does_not_hold() {
        let mut town = Town::new();
        let hanako = Person::generate(town.home(KANAZAWA));
        town.open_accounts([(KANAZAWA, &hanako)]).unwrap();
        let receipt = town.grant(KANAZAWA, &hanako, "1.00").unwrap();
        let genesis = town.genesis();
        assert!(verified(&genesis, &receipt).is_ok());
        let mut other = receipt.clone();
        let at = other.len() - 40;
        other[at] ^= 1;
        assert!(verified(&genesis, &other).is_err());
        let mut elsewhere = Genesis::read(&genesis).unwrap();
        elsewhere.name += "2";
        assert!(verified(&elsewhere.to_block(), &receipt).is_err());
    }
}
