//! `tx draft`: a transfer is written down. No keys are needed, and with saved pages of the homes no network either.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{AccountTitle, Dimension, GoodsOrMoney, PrivateField, Transfer};
use city_protocol::client::EXPIRES_MS;
use city_protocol::client::{Home, Order, Sender};
use city_protocol::ids::AccountId;
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::home::{HomePageArgs, saved_page};
use super::super::input::{read_whole, write_private};
use super::super::launch::runtime;
use super::super::output;
use super::form::{DraftForm, Settled};
use crate::api::wire::NodePage;
use crate::keys::{load_kem_public, load_signing_public};

/// Longest text of a message or file of values in bytes: what fits a signed body, or beside it.
const MAX_TEXT: usize = 48 * 1024;

/// Arguments of `tx draft`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx draft --key chiyo.wallet.pub --to vyrdoaofrlajmegv-… --amount 123.45 --subject 野菜のお礼 \\
      --details 葱を十本 --location 近江町市場 --node https://node.example:8443 --tls-root tls-root.pem --out leek.json
  city-node account policy --node https://node.example:8443 --tls-root tls-root.pem --json > home.json
  city-node tx draft --key chiyo.wallet.pub --home home.json --to-home there.json --to … --amount 1.00 \\
      --values values.json --out leek.json                                             (without a network)

The draft is a file for its owner only (mode 0600): subject, details and location stand in it, each with the salt by which it
can be proven; of the ledger's text they are only the hashes. Texts on the command line are seen by other users of this
machine; --values reads them from a file: {\"subject\": …, \"details\": …, \"location\": …, \"attributes\": …}.
Then: city-node tx sign, or at once city-node tx send.")]
pub struct DraftArgs {
    /// The sender's public signing key (the .pub beside the wallet).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The sender's account, if its keys were changed since it was opened.
    #[arg(long)]
    account: Option<AccountId>,
    /// The sender's home.
    #[command(flatten)]
    home: HomePageArgs,
    /// Who receives.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// What the receiver's home said of itself; needed without a network if it is another than the sender's.
    #[arg(long, value_name = "FILE")]
    to_home: Option<PathBuf>,
    /// How much, such as 123.45.
    #[arg(long)]
    amount: Amount,
    /// Private: what it is about.
    #[arg(long)]
    subject: Option<String>,
    /// Private: details.
    #[arg(long)]
    details: Option<String>,
    /// Private: where.
    #[arg(long)]
    location: Option<String>,
    /// A JSON file with private values by their fields' names; - reads standard input.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// A text that only the receiver can open; - reads standard input.
    #[arg(long, value_name = "FILE", requires = "message_key")]
    message: Option<PathBuf>,
    /// The receiver's public KEM key (the .kem.pub beside their wallet).
    #[arg(long, value_name = "FILE", requires = "message")]
    message_key: Option<PathBuf>,
    /// What the expense is called: sales, expense, transfer or other.
    #[arg(long, value_parser = named::<AccountTitle>)]
    account_title: Option<AccountTitle>,
    /// How far it reaches: local, global or meta.
    #[arg(long, value_parser = named::<Dimension>, default_value = "local")]
    dimension: Dimension,
    /// What is given: money or goods.
    #[arg(long, value_parser = named::<GoodsOrMoney>, default_value = "money")]
    gives: GoodsOrMoney,
    /// Level of the action.
    #[arg(long, default_value = "1")]
    action_level: String,
    /// Who acts: human, ai, robot, or a name.
    #[arg(long, default_value = "human")]
    organism: String,
    /// The sender's label of where it comes from.
    #[arg(long, default_value = "main")]
    from_wallet: String,
    /// The sender's label of where it goes.
    #[arg(long, default_value = "main")]
    to_wallet: String,
    /// How its value may move, in the sender's words.
    #[arg(long)]
    fluctuation: Option<String>,
    /// The sender's next sequence number, if it is known already.
    #[arg(long)]
    sequence: Option<u64>,
    /// The draft to write; - prints it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object about it.
    #[arg(long)]
    json: bool,
}

/// One of the names that stand in a body.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

pub(super) fn run(args: &DraftArgs) -> Outcome {
    let key = load_signing_public(&args.key)?;
    let page = args.home.page()?;
    let account = match args.account {
        Some(account) => account,
        None => AccountId::new(&page.log, &key.id()),
    };
    let order = order(args, &page)?;
    let sender = Sender {
        network: page.network,
        home: page.log,
        region: &page.region,
        account,
        key: &key,
    };
    let (draft, private) = order.draft(&sender)?;
    let settled = Settled {
        sequence: args.sequence,
        proof_of_place: None,
        now: Timestamp(0),
        valid_ms: EXPIRES_MS,
    };
    let form = DraftForm::new(&draft.0, private, &settled);
    // What no home would take is told now, not when it is signed.
    let transfer = form.shown()?;
    if args.out.as_os_str() == "-" {
        output::bytes(&form.to_bytes())?;
        return Ok(Exit::Ok);
    }
    write_private(&args.out, &form.to_bytes())?;
    if args.json {
        output::object(json!({
            "file": args.out, "sender": transfer.sender, "receiver": transfer.receiver,
            "receiver_region": transfer.receiver_municipality, "amount": transfer.amount,
            "transfer_id": transfer.transfer_id,
        }))?;
    } else {
        let file = args.out.display();
        output::text(&format!(
            "{file}: a draft, not signed\nsender     {}\nreceiver   {} ({})\namount     {}\ntransfer   {}\n\
             Send it:   city-node tx send {file} --wallet WALLET --node URL --tls-root FILE\n",
            transfer.sender,
            transfer.receiver,
            transfer.receiver_municipality,
            transfer.amount,
            transfer.transfer_id,
        ))?;
    }
    Ok(Exit::Ok)
}

fn order(args: &DraftArgs, page: &NodePage) -> anyhow::Result<Order> {
    let mut values = values(args)?;
    let mut order = Order::new(args.to, receivers_home(args, page)?, args.amount);
    let mut take = |field: PrivateField| values.remove(&field);
    order.subject = needed(take(PrivateField::Subject), "subject")?;
    order.details = needed(take(PrivateField::Details), "details")?;
    order.location = needed(take(PrivateField::Location), "location")?;
    order.verifiable_credential = take(PrivateField::VerifiableCredential);
    order.attributes = take(PrivateField::Attributes);
    order.account_title = args.account_title;
    order.dimension = args.dimension;
    order.goods_or_money = args.gives;
    order.action_level.clone_from(&args.action_level);
    order.organism_name.clone_from(&args.organism);
    order.from_wallet.clone_from(&args.from_wallet);
    order.to_wallet.clone_from(&args.to_wallet);
    order.fluctuation.clone_from(&args.fluctuation);
    if let (Some(text), Some(key)) = (&args.message, &args.message_key) {
        let bytes = read_whole(text, MAX_TEXT)?;
        let text = String::from_utf8(bytes.to_vec())
            .with_context(|| format!("{}: not text", text.display()))?;
        order.message = Some((load_kem_public(key)?, text));
    }
    Ok(order)
}

fn needed(value: Option<String>, name: &str) -> anyhow::Result<String> {
    value.with_context(|| format!("a transfer says its {name}: give --{name}, or it in --values"))
}

/// The private values, from the arguments and the file.
fn values(args: &DraftArgs) -> anyhow::Result<BTreeMap<PrivateField, String>> {
    let mut values = match &args.values {
        Some(file) => {
            let bytes = read_whole(file, MAX_TEXT)?;
            serde_json::from_slice(&bytes).with_context(|| {
                let names = PrivateField::ALL.map(PrivateField::as_str).join(", ");
                format!(
                    "{}: not one JSON object of texts named {names}",
                    file.display()
                )
            })?
        }
        None => BTreeMap::new(),
    };
    let given = [
        (PrivateField::Subject, &args.subject),
        (PrivateField::Details, &args.details),
        (PrivateField::Location, &args.location),
    ];
    for (field, value) in given {
        let Some(value) = value else { continue };
        if values.insert(field, value.clone()).is_some() {
            bail!("{field} stands both in --values and in the arguments");
        }
    }
    Ok(values)
}

/// The receiver's home: the sender's own, the one that was named, or what the sender's home knows.
fn receivers_home(args: &DraftArgs, page: &NodePage) -> anyhow::Result<Home> {
    let home = if let Some(file) = &args.to_home {
        Home::from(&saved_page(file)?)
    } else if args.to.is_of(&page.log) {
        Home::from(page)
    } else if let Some(api) = args.home.api()? {
        let known = runtime()?.block_on(api.homes())?;
        let home = known
            .homes
            .into_iter()
            .find(|home| args.to.is_of(&home.log));
        let home = home.with_context(|| {
            format!(
                "{}: of no home that {} knows yet; it may not have met it, or the account is mistyped",
                args.to, page.region
            )
        })?;
        Home {
            network: page.network,
            log: home.log,
            region: home.region,
            suite: home.suite,
        }
    } else {
        bail!(
            "{} is not of {}: name the receiver's home with --to-home FILE, or the sender's with --node",
            args.to,
            page.region
        )
    };
    if home.network != page.network || !args.to.is_of(&home.log) {
        bail!(
            "{} is not an account of {} in this network",
            args.to,
            home.region
        );
    }
    Ok(home)
}

/// A transfer as every command of this room tells it.
pub(super) fn fields(transfer: &Transfer) -> Value {
    json!({
        "sender": transfer.sender, "receiver": transfer.receiver, "amount": transfer.amount,
        "transfer_id": transfer.transfer_id, "sequence": transfer.sequence,
        "transaction_hash": transfer.transaction_hash(),
    })
}
