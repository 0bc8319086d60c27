//! `tx show`: the transfer in a receipt, or a transfer as the running node has it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use city_protocol::Refusal;
use city_protocol::body::{
    PersonBody as _, PrivateField, Salted, Transfer, identity, read_person_body,
};
use city_protocol::ids::Digest;
use city_protocol::vertex::Booked;
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::account::again;
use super::super::exit::{Exit, Failure, Outcome};
use super::super::home::{PersonArgs, person};
use super::super::launch::{asked, runtime};
use super::super::output;
use super::super::passphrase::PassphraseArgs;
use super::super::run::PlaceArgs;
use super::about::{About, What};
use super::{is_unconfirmed, judge, message, note};
use crate::admin::pages::{SignedField, TransferShown};
use crate::api::wire::{KeptAs, PrivatePage};
use crate::client::person::Person;
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;

/// What an identity begins with.
const IDENTITY: &str = "sha256:";

/// Arguments of `tx show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx show receipt.cbor --genesis genesis.cbor
  city-node tx show receipt.cbor --genesis genesis.cbor --open yosa.wallet
  city-node tx show sha256:08d7… --data-dir data
  city-node tx show sha256:08d7… --private
  city-node tx show sha256:08d7… --open yosa.wallet
  city-node tx show sha256:08d7… --wallet yosa.wallet --node https://node.example:8443 --tls-root tls-root.pem

An operator asks the node on this machine. With --wallet and --node the transfer's sender or receiver asks their home over
HTTPS, and a message that is sealed for the wallet is opened. --private shows each value with the salt by which anybody can check it against the ledger: pass both on only to whom the
value may be known. The node cannot open the message, only the receiver's key can; its file is read here alone.
Exit codes: 0 shown · 3 the node is not running · 4 the receipt does not hold, a value is not the signed one, or the
message is not for this key.")]
pub struct ShowArgs {
    /// The identity of a transfer (sha256: and 64 hexadecimal digits), which the running node or the home is asked for; or
    /// the file with its receipt or its answer's (DAG-CBOR as the API gives it); - reads the receipt from standard input.
    #[arg(value_name = "IDENTITY|FILE")]
    what: String,
    /// The network's genesis record, for a receipt.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Which node, for an identity.
    #[command(flatten)]
    place: PlaceArgs,
    /// Who asks which home, for an identity.
    #[command(flatten)]
    person: PersonArgs,
    /// Show the private values that the node has, with their salts.
    #[arg(long, conflicts_with = "genesis")]
    private: bool,
    /// Open the message with the keys in this wallet, or with this KEM key file.
    #[arg(long, value_name = "WALLET|KEY")]
    open: Option<PathBuf>,
    /// The wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Everything that was asked for.
struct Shown {
    page: TransferShown,
    transfer: Transfer,
    private: Option<Private>,
    message: Option<Zeroizing<String>>,
}

/// The private fields, each with what the node has of it.
struct Private {
    kept: KeptAs,
    fields: Vec<Field>,
}

struct Field {
    field: PrivateField,
    digest: Digest,
    salted: Option<Salted>,
    /// Whether that is what was signed.
    holds: bool,
}

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let usage = |why: &'static str| Failure::new(Exit::Usage, anyhow::anyhow!(why));
    match (args.what.starts_with(IDENTITY), &args.genesis) {
        (true, None) => of_node(args),
        (false, Some(genesis)) => of_receipt(args, genesis),
        (true, Some(_)) => Err(usage(
            "--genesis belongs to a receipt's file; for an identity the running node is asked",
        )),
        (false, None) => Err(usage(
            "name an identity (sha256:…), or a receipt's file together with --genesis FILE",
        )),
    }
}

fn of_receipt(args: &ShowArgs, genesis: &Path) -> Outcome {
    let file = Path::new(&args.what);
    let not_shown = |why: String| {
        let why = anyhow::anyhow!("{}: {why}", file.display());
        Failure::new(Exit::CheckFailed, why)
    };
    let receipt = judge(file, genesis)?;
    let read = receipt.and_then(|receipt| Ok((About::read(&receipt.entry)?, receipt.entry)));
    let (about, entry) = read.map_err(|refusal| {
        let code = refusal.code();
        not_shown(format!("the receipt does not hold: {refusal} ({code})"))
    })?;
    let transfer = match (&about.what, &args.open) {
        (What::Transfer(transfer), _) => transfer,
        (What::Answer(_), None) => return of_answer(args, &about, &entry.booked),
        (What::Answer(_), Some(_)) => {
            let why = "the receipt of an answer, which carries no message; the transfer does";
            return Err(not_shown(why.into()));
        }
        (What::Other, _) => {
            let kind = entry.kind;
            return Err(not_shown(format!(
                "holds, and is neither a transfer's nor an answer's but of kind {kind}; what it says: city-node tx verify-receipt"
            )));
        }
    };
    let message = match &args.open {
        Some(path) => Some(message::open(transfer, path, &args.passphrase)?),
        None => None,
    };
    if args.json {
        let mut fields = json!({
            "transfer": transfer,
            "unconfirmed": is_unconfirmed(&entry.booked),
            "message": message.as_ref().map(|text| text.as_str()),
        });
        about.put(&mut fields);
        output::object(fields)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "{}written    {}\nid         {}\n",
        about.text(),
        rfc3339(transfer.created_at),
        transfer.transfer_id,
    );
    text += &match (&transfer.message, &message) {
        (_, Some(message)) => format!("message    {}\n", output::printable(message)),
        (Some(sealed), None) => format!(
            "message    sealed for the key {} ({}); open it with --open WALLET\n",
            sealed.key, sealed.alg
        ),
        (None, None) => "message    none\n".into(),
    };
    text += note(&entry.booked);
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn of_answer(args: &ShowArgs, about: &About, booked: &Booked) -> Outcome {
    if args.json {
        let mut fields = json!({ "unconfirmed": is_unconfirmed(booked) });
        about.put(&mut fields);
        output::object(fields)?;
    } else {
        output::text(&(about.text() + note(booked)))?;
    }
    Ok(Exit::Ok)
}

/// What was asked for, of the node on this machine or of a person's home, and the private values.
type Answered = (TransferShown, Option<PrivatePage>);

/// Asks the node on this machine, as its operator.
fn of_operator(args: &ShowArgs, asked_for: &Digest) -> Result<Answered, Failure> {
    let socket = args.place.locate().data.admin_socket();
    runtime()?.block_on(async {
        let admin = asked(AdminClient::connect(&socket).await)?;
        let page = asked(admin.transfer(asked_for).await)?;
        let private = match args.private {
            true => Some(asked(admin.private(asked_for).await)?),
            false => None,
        };
        Ok((page, private))
    })
}

/// Asks the person's home as its sender or receiver; also gives the person, whose key opens what is sealed for them.
fn of_person(args: &ShowArgs, asked_for: &Digest) -> anyhow::Result<Option<(Answered, Person)>> {
    let Some((api, wallet)) = args.person.open(&args.passphrase)? else {
        return Ok(None);
    };
    let done = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.person.account);
        api.login(&person).await?;
        let account = person.account();
        let page = api.transfer_state(&account, asked_for).await?;
        let private = match args.private {
            true => Some(api.private(&account, asked_for).await?),
            false => None,
        };
        Ok::<_, ClientError>((page, private, person))
    });
    let (mut page, private, person) = done.map_err(again)?;
    let Some(body) = page.body.take() else {
        bail!(
            "this home has no body of it any more; its state is: {} ({})",
            page.state.en,
            page.state.ja
        );
    };
    let transfer: Transfer = read_person_body(body.as_bytes())?;
    let signed = PrivateField::ALL.into_iter().filter_map(|field| {
        let digest = field.signed_in(&transfer)?;
        Some(SignedField { field, digest })
    });
    let shown = TransferShown {
        schema: page.schema,
        sender_region: Some(transfer.sender_municipality.to_string()),
        receiver_region: Some(transfer.receiver_municipality.to_string()),
        transaction_hash: transfer.transaction_hash(),
        signed: signed.collect(),
        body,
        transfer: page,
    };
    Ok(Some(((shown, private), person)))
}

fn of_node(args: &ShowArgs) -> Outcome {
    let asked_for: Digest = args.what.parse().map_err(|_: Refusal| {
        let why = anyhow::anyhow!("{:?} is not sha256: and 64 hexadecimal digits", args.what);
        Failure::new(Exit::Usage, why)
    })?;
    let ((page, private), person) = match of_person(args, &asked_for)? {
        Some((answered, person)) => (answered, Some(person)),
        None => (of_operator(args, &asked_for)?, None),
    };
    if identity(Transfer::TAG, page.body.as_bytes()) != asked_for {
        return Err(anyhow::anyhow!("the node's answer is another transfer's").into());
    }
    let transfer: Transfer = read_person_body(page.body.as_bytes())?;
    let key = person.as_ref().map(Person::kem);
    let message = match (&args.open, key) {
        (Some(file), _) => Some(message::open(&transfer, file, &args.passphrase)?),
        // A person's own wallet opens what is sealed for it, and only that.
        (None, Some(key)) if message::is_for(&transfer, key) => {
            Some(message::open_with(&transfer, key, "the wallet")?)
        }
        (None, _) => None,
    };
    let shown = Shown {
        private: private.map(|private| fields(&page, &transfer, private)),
        page,
        transfer,
        message,
    };
    if args.json {
        output::object(shown.json())?;
    } else {
        output::text(&shown.text())?;
    }
    let holds = |private: &Private| private.fields.iter().all(|field| field.holds);
    Ok(match shown.private.as_ref().is_none_or(holds) {
        true => Exit::Ok,
        false => Exit::CheckFailed,
    })
}

fn fields(page: &TransferShown, transfer: &Transfer, mut private: PrivatePage) -> Private {
    let signed = page.signed.iter();
    let fields = signed.map(|signed| {
        let salted = private.values.remove(&signed.field);
        let holds = salted
            .as_ref()
            .is_none_or(|salted| salted.check(signed.field, transfer).is_ok());
        Field {
            field: signed.field,
            digest: signed.digest,
            salted,
            holds,
        }
    });
    Private {
        kept: private.kept,
        fields: fields.collect(),
    }
}

impl Shown {
    fn json(&self) -> Value {
        let page = &self.page;
        let transfer = &page.transfer;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        put("transfer", json!(transfer.transfer));
        put("state", json!(transfer.state));
        put("finality", json!(transfer.finality));
        put("witnesses", json!(transfer.witnesses));
        put("amount", json!(transfer.amount));
        put("sender", json!(transfer.sender));
        put("sender_home", json!(transfer.sender_home));
        put("sender_region", json!(page.sender_region));
        put("receiver", json!(transfer.receiver));
        put("receiver_home", json!(transfer.receiver_home));
        put("receiver_region", json!(page.receiver_region));
        put("received_at", rfc3339(transfer.received_at).into());
        put("transaction_hash", json!(page.transaction_hash));
        put("has_message", self.transfer.message.is_some().into());
        if let Some(private) = &self.private {
            put("private", private.json());
        }
        let message = self.message.as_ref().map(|text| text.as_str());
        put("message", json!(message));
        Value::Object(fields)
    }

    fn text(&self) -> String {
        let page = &self.page;
        let transfer = &page.transfer;
        let finality = output::finality(&transfer.finality, transfer.witnesses);
        let region = |region: &Option<String>| region.clone().unwrap_or_else(|| "?".into());
        let mut text = format!(
            "transfer   {}\n\
             state      {} ({}), {}\n\
             amount     {}\n\
             sender     {} ({})\n\
             receiver   {} ({})\n\
             received   {}\n\
             hash       {}\n",
            transfer.transfer,
            transfer.state.en,
            transfer.state.ja,
            finality,
            transfer.amount,
            transfer.sender,
            region(&page.sender_region),
            transfer.receiver,
            region(&page.receiver_region),
            rfc3339(transfer.received_at),
            page.transaction_hash,
        );
        if let Some(private) = &self.private {
            private.tell(&mut text);
        }
        match (&self.message, &self.transfer.message) {
            (Some(message), _) => text += &format!("message    {}\n", output::printable(message)),
            (None, Some(_)) => {
                text += "message    sealed for its receiver; open it with --open WALLET\n";
            }
            (None, None) => {}
        }
        text
    }
}

impl Private {
    fn json(&self) -> Value {
        let fields = self.fields.iter().map(|field| {
            let mut shown = json!({ "field": field.field, "digest": field.digest });
            if let (Some(salted), Value::Object(shown)) = (&field.salted, &mut shown) {
                shown.insert("value".into(), salted.expose_value().into());
                let salt = HEXLOWER.encode(salted.expose_salt());
                shown.insert("salt".into(), salt.into());
                shown.insert("is_signed".into(), field.holds.into());
            }
            shown
        });
        json!({ "kept": self.kept, "fields": fields.collect::<Vec<_>>() })
    }

    fn tell(&self, text: &mut String) {
        *text += match self.kept {
            KeptAs::Values => "private\n",
            KeptAs::Erased => "private    erased at this node; only their digests are left\n",
            KeptAs::Nothing => {
                "private    not at this node: not given, not for this home, or not arrived yet\n"
            }
        };
        for field in &self.fields {
            let Some(salted) = &field.salted else {
                let _ = writeln!(text, "  {}\n    digest   {}", field.field, field.digest);
                continue;
            };
            let verdict = match field.holds {
                true => "is the signed one",
                false => "is NOT the signed one",
            };
            let _ = writeln!(
                text,
                "  {}: {}\n    salt     {}\n    digest   {} ({verdict})",
                field.field,
                output::printable(salted.expose_value()),
                HEXLOWER.encode(salted.expose_salt()),
                field.digest,
            );
        }
    }
}
