//! `tx show`: a transfer as the running node has it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::body::{
    PersonBody as _, PrivateField, Salted, Transfer, identity, read_person_body,
};
use city_protocol::crypto::{KemSecretKey, SealedBoxContext};
use city_protocol::ids::Digest;
use clap::Args;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::launch::runtime;
use super::super::output;
use super::super::run::PlaceArgs;
use super::asked;
use crate::admin::pages::TransferShown;
use crate::api::wire::{KeptAs, PrivatePage};
use crate::client::AdminClient;
use crate::config::rfc3339;
use crate::keys;

/// Arguments of `tx show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx show sha256:08d7… --data-dir data
  city-node tx show sha256:08d7… --private
  city-node tx show sha256:08d7… --open --key yosa-kem.key

--private shows each value with the salt by which anybody can check it against the ledger: pass both on only to whom the
value may be known. The node cannot open the sealed message; the key file is read here and not sent to it.
Exit codes: 0 shown · 3 the node is not running · 4 a value is not the signed one, or the message is not authentic.")]
pub struct ShowArgs {
    /// Identity of the transfer: sha256: and 64 hexadecimal digits.
    identity: Digest,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Show the private values with their salts.
    #[arg(long)]
    private: bool,
    /// Open the sealed message with the receiver's key.
    #[arg(long, requires = "key")]
    open: bool,
    /// The receiver's key file for sealed messages (city-node key generate --kind kem).
    #[arg(long, value_name = "FILE", requires = "open")]
    key: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Everything that was asked for.
struct Shown {
    page: TransferShown,
    transfer: Transfer,
    private: Option<Private>,
    message: Option<Zeroizing<Vec<u8>>>,
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
    // Before the node is asked: a wrong file is found at once.
    let key = args.key.as_deref().map(receiver_key).transpose()?;
    let socket = args.place.locate().data.admin_socket();
    let (page, private) = runtime()?.block_on(async {
        let admin = asked(AdminClient::connect(&socket).await)?;
        let page = asked(admin.transfer(&args.identity).await)?;
        let private = match args.private {
            true => Some(asked(admin.private(&args.identity).await)?),
            false => None,
        };
        Ok::<_, Failure>((page, private))
    })?;
    if identity(Transfer::TAG, page.body.as_bytes()) != args.identity {
        return Err(anyhow::anyhow!("the node's answer is another transfer's").into());
    }
    let transfer: Transfer = read_person_body(page.body.as_bytes())?;
    let message = match &key {
        Some(key) => Some(open(key, &transfer)?),
        None => None,
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

/// The receiver's key for sealed messages. Other forms of keeping it, such as a wallet, have their place here.
fn receiver_key(path: &Path) -> anyhow::Result<KemSecretKey> {
    keys::load_kem(path).context("--key is the receiver's KEM key file")
}

fn open(key: &KemSecretKey, transfer: &Transfer) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(sealed) = &transfer.message else {
        return Err(anyhow::anyhow!("this transfer carries no sealed message").into());
    };
    let context = SealedBoxContext {
        network: transfer.network,
        sender: transfer.sender,
        receiver: transfer.receiver,
        transfer_id: transfer.transfer_id,
    };
    key.open(&context, sealed).map_err(|refusal| match refusal {
        Refusal::WrongKey => anyhow::anyhow!(
            "the message is sealed for the key {}, and --key is {}; give the receiver's key file",
            sealed.key,
            key.public().id()
        )
        .into(),
        refusal => Failure::new(
            Exit::CheckFailed,
            anyhow::anyhow!(
                "the message does not open: it was changed, or moved from another transfer ({})",
                refusal.code()
            ),
        ),
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
        if let Some(message) = &self.message {
            let text = std::str::from_utf8(message).ok();
            put(
                "message",
                json!({ "text": text, "base64": BASE64.encode(message) }),
            );
        }
        Value::Object(fields)
    }

    fn text(&self) -> String {
        let page = &self.page;
        let transfer = &page.transfer;
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
            transfer.finality,
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
            (Some(message), _) => match std::str::from_utf8(message) {
                Ok(message) => text += &format!("message    {}\n", printable(message)),
                Err(_) => text += &format!("message    (base64) {}\n", BASE64.encode(message)),
            },
            (None, Some(_)) => text += "message    sealed for its receiver (--open --key FILE)\n",
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
                printable(salted.expose_value()),
                HEXLOWER.encode(salted.expose_salt()),
                field.digest,
            );
        }
    }
}

/// What a stranger wrote, for a terminal: without control characters, which could rewrite the screen.
fn printable(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_does_not_rewrite_the_screen() {
        assert_eq!(printable("畑の手伝い"), "畑の手伝い");
        assert_eq!(printable("\x1b[2J\r\n"), "\\u{1b}[2J\\r\\n");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
    }
}
