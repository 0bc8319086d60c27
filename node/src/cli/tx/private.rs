//! `tx erase-private` and `tx verify-private`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::body::{
    Kind, MAX_PRIVATE_VALUE, PrivateField, SALT_LEN, Salted, Transfer, read_person_body,
};
use city_protocol::ids::Digest;
use clap::Args;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::json;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::input::read;
use super::super::launch::{asked, runtime};
use super::super::output;
use super::super::run::PlaceArgs;
use super::judge;
use crate::client::AdminClient;

/// Arguments of `tx erase-private`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx erase-private sha256:08d7… --data-dir data
  city-node tx erase-private sha256:08d7… --yes --json

It cannot be undone. The other home keeps its own copy: erase there, too. Copies in backups and on worn-out flash cells
are beyond this command (docs/private-values.md).
Exit codes: 0 erased, or there was nothing · 1 not confirmed · 2 no terminal to ask at · 3 the node is not running.")]
pub struct EraseArgs {
    /// Identity of the transfer: sha256: and 64 hexadecimal digits.
    identity: Digest,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `tx verify-private`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx verify-private --receipt receipt.cbor --genesis genesis.cbor \\
      --field subject --salt 5d0c… --value 畑の手伝いのお礼
  city-node tx verify-private --receipt receipt.cbor --genesis genesis.cbor \\
      --field details --salt 91fe… --value-file details.txt

Everything is checked here; nothing is sent anywhere. A value on the command line is seen by other users of this machine
and kept in the shell's history: --value-file avoids that (its exact bytes count, also a line break at the end).
Exit codes: 0 it is the signed value · 4 it is not, or the receipt does not hold.")]
pub struct VerifyArgs {
    /// The transfer's receipt (DAG-CBOR as the API gives it).
    #[arg(long, value_name = "FILE")]
    receipt: PathBuf,
    /// The network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Which field: subject, details, location, verifiable_credential or attributes.
    #[arg(long, value_parser = field)]
    field: PrivateField,
    /// Its salt, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = salt)]
    salt: [u8; SALT_LEN],
    /// The value.
    #[arg(long, value_name = "TEXT", required_unless_present = "value_file")]
    value: Option<String>,
    /// A file with the value; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    value_file: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn field(text: &str) -> Result<PrivateField, String> {
    text.parse().map_err(|_: Refusal| {
        let names = PrivateField::ALL.map(PrivateField::as_str);
        format!("one of {}", names.join(", "))
    })
}

fn salt(text: &str) -> Result<[u8; SALT_LEN], &'static str> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let salt = bytes.and_then(|bytes| bytes.try_into().ok());
    salt.ok_or("a salt is 64 hexadecimal digits, as `tx show --private` prints it")
}

pub(super) fn erase(args: &EraseArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let runtime = runtime()?;
    let (admin, page) = runtime.block_on(async {
        let admin = asked(AdminClient::connect(&socket).await)?;
        let page = asked(admin.transfer(&args.identity).await)?;
        Ok::<_, Failure>((admin, page))
    })?;
    if !args.yes {
        let transfer = &page.transfer;
        confirm(&format!(
            "Erase the private values of {} from {} to {} ({}) at this node, for ever? Type yes: ",
            transfer.amount, transfer.sender, transfer.receiver, args.identity
        ))?;
    }
    let done = asked(runtime.block_on(admin.erase_private(&args.identity)))?;
    if args.json {
        output::object(json!({ "transfer": done.transfer, "erased": done.erased }))?;
    } else if done.erased {
        output::text(
            "erased at this node; the ledger and its receipts hold as before\n\
             The other home keeps its own copy, if it has one: erase there, too.\n",
        )?;
    } else {
        output::text("nothing to erase: there are no private values of this transfer here\n")?;
    }
    Ok(Exit::Ok)
}

fn confirm(question: &str) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let usage = anyhow::anyhow!("there is no terminal to ask at; add --yes if it is meant");
        return Err(Failure::new(Exit::Usage, usage));
    }
    eprint!("{question}");
    io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(anyhow::anyhow!("not confirmed: nothing was erased").into())
    }
}

pub(super) fn verify(args: &VerifyArgs) -> Outcome {
    let value = match (&args.value, &args.value_file) {
        (Some(value), _) => value.clone(),
        (None, Some(file)) => {
            let bytes = read(file, MAX_PRIVATE_VALUE)?;
            let text = std::str::from_utf8(&bytes);
            text.with_context(|| format!("{}: not text", file.display()))?
                .to_owned()
        }
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let verdict = match judge(&args.receipt, &args.genesis)? {
        Err(refusal) => Err(("receipt", refusal)),
        Ok(receipt) if receipt.entry.kind != Kind::Transfer => {
            let kind = receipt.entry.kind;
            let file = args.receipt.display();
            return Err(anyhow::anyhow!(
                "{file}: a receipt of a {kind}, which has no private fields"
            )
            .into());
        }
        Ok(receipt) => read_person_body::<Transfer>(&receipt.entry.body)
            .and_then(|transfer| {
                Salted::new(args.salt, &value)?.check(args.field, &transfer)?;
                Ok(transfer)
            })
            .map_err(|refusal| ("value", refusal)),
    };
    if args.json {
        output::object(match &verdict {
            Ok(transfer) => json!({
                "valid": true, "field": args.field, "sender": transfer.sender,
                "receiver": transfer.receiver, "amount": transfer.amount,
                "transaction_hash": transfer.transaction_hash(),
            }),
            Err((what, refusal)) => json!({
                "valid": false, "what": what, "code": refusal.code(), "reason": refusal.to_string(),
            }),
        })?;
    } else {
        output::text(&match &verdict {
            Ok(transfer) => format!(
                "{field}: it is the value that {sender} signed\nreceiver   {receiver}\namount     {amount}\n",
                field = args.field,
                sender = transfer.sender,
                receiver = transfer.receiver,
                amount = transfer.amount,
            ),
            Err(("receipt", refusal)) => format!(
                "{}: does NOT hold: {refusal} ({})\n",
                args.receipt.display(),
                refusal.code()
            ),
            Err((_, refusal)) => format!(
                "{}: NOT proven: {refusal} ({})\n",
                args.field,
                refusal.code()
            ),
        })?;
    }
    Ok(match verdict {
        Ok(_) => Exit::Ok,
        Err(_) => Exit::CheckFailed,
    })
}
