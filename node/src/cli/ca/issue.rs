//! `ca issue`: certificates for keys that their owners made. Secrets stay where they are; only a TLS key can
//! be made here, for an owner who has no tool for it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::ids::AccountId;
use city_protocol::pki::{Role, fingerprint};
use city_protocol::region::Region;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::json;
use x509_cert::der::pem::{LineEnding, encode_string};
use zeroize::Zeroizing;

use super::{CaArgs, now};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::keys;
use crate::keys::file::{read_public, write_public, write_secret};
use crate::pki::tls::TlsKey;
use crate::pki::{Authority, ClientRequest, NodeRequest, OperatorName, TlsSubject, Validity};
use crate::setup::{NODE_DAYS, TLS_DAYS, validity};

/// How long a person's certificate is valid, days: two years.
const CLIENT_DAYS: u64 = 730;
/// How long a TLS client certificate is valid, days: a year.
const TLS_CLIENT_DAYS: u64 = 365;
/// How long an intermediate is valid, days: ten years, twice a node's.
const INTERMEDIATE_DAYS: u64 = 3_650;

/// What for.
#[derive(Debug, Subcommand)]
pub enum IssueCommand {
    /// A person's certificate, under the post-quantum root: binds an account to its keys.
    #[command(after_help = "\
Examples:
  city-node ca issue client --ca ishikawa-ca --account ACCOUNT --key hanako.key.pub --kem hanako-kem.key.pub \\
      --out hanako.pem")]
    Client {
        /// The account.
        #[arg(long, value_name = "ACCOUNT")]
        account: AccountId,
        /// The person's signing key (.pub file).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The person's key for sealing (.pub file).
        #[arg(long, value_name = "FILE")]
        kem: Option<PathBuf>,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// A node's certificate, under the post-quantum root: binds ledger key, peer id, role and region.
    #[command(after_help = "\
Examples:
  city-node ca issue node --ca ishikawa-ca --region Asia/JP/17/17201 --role terminal --peer-id 12D3KooW… \\
      --key ledger.key.pub --out node.pem")]
    Node {
        /// The municipality.
        #[arg(long, value_name = "REGION")]
        region: Region,
        /// What the node is to it.
        #[arg(long, value_enum)]
        role: RoleArg,
        /// The node's libp2p peer id (city-node key show transport.key).
        #[arg(long, value_name = "PEER")]
        peer_id: String,
        /// The ledger key (.pub file).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The key for sealing (.pub file).
        #[arg(long, value_name = "FILE")]
        kem: Option<PathBuf>,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// The certificate of a CA below this one, under the post-quantum root.
    #[command(after_help = "\
Examples:
  city-node ca issue intermediate --ca ishikawa-ca --name \"金沢市 CA\" --key kanazawa.key.pub --out kanazawa.pem

The municipality then makes its CA: city-node ca init --ca kanazawa-ca --intermediate kanazawa.pem --key kanazawa.key")]
    Intermediate {
        /// Its name.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Its signing key (.pub file).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// How many further CAs may stand below it.
        #[arg(long, value_name = "N", default_value_t = 0)]
        path_len: u8,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// A TLS server certificate, under the classical root (ECDSA P-256).
    #[command(after_help = "\
Examples:
  city-node ca issue tls-server --ca ishikawa-ca --name node.kanazawa.example --name 192.0.2.7 --csr node.csr --out tls.pem
  city-node ca issue tls-server --ca ishikawa-ca --name node.kanazawa.example --new-key tls.key --out tls.pem")]
    TlsServer {
        /// A host name or address; may be repeated.
        #[arg(long = "name", value_name = "NAME", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        key: TlsKeyArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// A TLS client certificate, under the classical root (ECDSA P-256), of an account or an operator.
    #[command(after_help = "\
Examples:
  city-node ca issue tls-client --ca ishikawa-ca --operator yamada --new-key yamada.key --out yamada.pem
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout app.key -subj / -out app.csr
  city-node ca issue tls-client --ca ishikawa-ca --account ACCOUNT --csr app.csr --out app.pem")]
    #[command(group = ArgGroup::new("whom").required(true).args(["account", "operator"]))]
    TlsClient {
        /// The account that it acts for.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountId>,
        /// The operator who holds it.
        #[arg(long, value_name = "NAME")]
        operator: Option<OperatorName>,
        #[command(flatten)]
        key: TlsKeyArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
}

/// What every kind takes.
#[derive(Debug, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    ca: CaArgs,
    /// For how many days it is valid [default: client 730, node 1825, intermediate 3650, tls-server 825, tls-client 365].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
    /// Which root signs, by the name that `ca show` gives it [default: the newest of the kind].
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Where to write it, in PEM, with the certificates of intermediate CAs behind it; never overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Whose key a TLS certificate is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct TlsKeyArgs {
    /// A certificate request (PKCS#10, PEM) of who holds the key.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Make a key and write it here (PKCS#8, mode 0600).
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// The one node that sequences the municipality's log.
    Home,
    /// A further box.
    Terminal,
}

pub(super) fn run(command: &IssueCommand) -> Outcome {
    match command {
        IssueCommand::Client {
            account,
            key,
            kem,
            common,
        } => {
            let key = keys::load_signing_public(key)?;
            let kem = kem.as_deref().map(keys::load_kem_public).transpose()?;
            let request = ClientRequest {
                account,
                key: &key,
                kem: kem.as_ref(),
            };
            let (authority, validity) = common.open(CLIENT_DAYS)?;
            let der = authority.issue_client(&request, validity)?;
            common.hand_over(&authority, der, None)
        }
        IssueCommand::Node {
            region,
            role,
            peer_id,
            key,
            kem,
            common,
        } => {
            let key = keys::load_signing_public(key)?;
            let kem = kem.as_deref().map(keys::load_kem_public).transpose()?;
            let request = NodeRequest {
                region,
                role: match role {
                    RoleArg::Home => Role::Home,
                    RoleArg::Terminal => Role::Terminal,
                },
                key: &key,
                peer_id,
                kem: kem.as_ref(),
            };
            let (authority, validity) = common.open(NODE_DAYS)?;
            let der = authority.issue_node(&request, validity)?;
            common.hand_over(&authority, der, None)
        }
        IssueCommand::Intermediate {
            name,
            key,
            path_len,
            common,
        } => {
            let key = keys::load_signing_public(key)?;
            let (authority, validity) = common.open(INTERMEDIATE_DAYS)?;
            let der = authority.issue_intermediate(name, &key, *path_len, validity)?;
            common.hand_over(&authority, der, None)
        }
        IssueCommand::TlsServer { names, key, common } => {
            let (addresses, names): (Vec<_>, Vec<_>) = names
                .iter()
                .partition(|name| name.parse::<std::net::IpAddr>().is_ok());
            let addresses: Vec<_> = addresses.iter().filter_map(|a| a.parse().ok()).collect();
            let names: Vec<String> = names.into_iter().cloned().collect();
            key.check(&common.out)?;
            let (authority, validity) = common.open(TLS_DAYS)?;
            let made = key.take()?;
            let der = authority.certify_tls_server(&made, &names, &addresses, validity)?;
            common.hand_over(&authority, der.to_vec(), Some((key, &made)))
        }
        IssueCommand::TlsClient {
            account,
            operator,
            key,
            common,
        } => {
            let subject = match (account, operator) {
                (Some(account), _) => TlsSubject::Account(*account),
                (None, Some(operator)) => TlsSubject::Operator(operator.clone()),
                (None, None) => unreachable!("clap asks for one of both"),
            };
            key.check(&common.out)?;
            let (authority, validity) = common.open(TLS_CLIENT_DAYS)?;
            let made = key.take()?;
            let der = authority.certify_tls_client(&made, &subject, validity)?;
            common.hand_over(&authority, der.to_vec(), Some((key, &made)))
        }
    }
}

impl CommonArgs {
    /// Opens the CA, once it is known that the answer has a place to go.
    fn open(&self, days: u64) -> anyhow::Result<(Authority, Validity)> {
        not_there(&self.out)?;
        let mut authority = self.ca.open()?;
        if let Some(issuer) = &self.issuer {
            authority.issue_by(issuer)?;
        }
        Ok((authority, validity(now()?, self.days.unwrap_or(days))))
    }

    /// Writes what was issued, a key that was made for it first.
    fn hand_over(
        &self,
        authority: &Authority,
        der: Vec<u8>,
        tls: Option<(&TlsKeyArgs, &TlsKey)>,
    ) -> Outcome {
        let fingerprint = fingerprint(&der).to_string();
        let chain = if tls.is_some() {
            &[]
        } else {
            authority.chain()
        };
        let mut pem = String::new();
        for der in std::iter::once(&der).chain(chain) {
            pem.push_str(&encode_string("CERTIFICATE", LineEnding::LF, der)?);
        }
        let mut key_file = None;
        if let Some((
            TlsKeyArgs {
                new_key: Some(path),
                ..
            },
            made,
        )) = tls
        {
            let secret = made
                .secret()
                .expect("a key that was made here has its secret");
            let secret = encode_string("PRIVATE KEY", LineEnding::LF, secret);
            write_secret(path, Zeroizing::new(secret?).as_bytes())?;
            key_file = Some(path);
        }
        write_public(&self.out, pem.as_bytes())?;
        if self.json {
            output::object(json!({
                "certificate": self.out, "key": key_file, "fingerprint": fingerprint,
            }))?;
        } else {
            let key = key_file.map_or_else(String::new, |path| {
                format!(
                    "{}: its key; hand it over where nobody else sees it\n",
                    path.display()
                )
            });
            output::text(&format!("{}: {fingerprint}\n{key}", self.out.display()))?;
        }
        Ok(Exit::Ok)
    }
}

impl TlsKeyArgs {
    /// Whether a key that is to be made here has a place to go, which is not that of its certificate.
    fn check(&self, out: &Path) -> anyhow::Result<()> {
        let Some(path) = &self.new_key else {
            return Ok(());
        };
        not_there(path)?;
        anyhow::ensure!(
            place(path) != place(out),
            "{}: both --new-key and --out; give the key and its certificate two files",
            path.display()
        );
        Ok(())
    }

    fn take(&self) -> anyhow::Result<TlsKey> {
        if let Some(csr) = &self.csr {
            let pem = read_public(csr)?;
            return TlsKey::from_request(&pem).with_context(|| csr.display().to_string());
        }
        Ok(TlsKey::generate()?)
    }
}

/// Where a file that is not there yet will be, by one spelling of its directory.
fn place(path: &Path) -> PathBuf {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = directory.canonicalize();
    let directory =
        directory.unwrap_or_else(|_| path.parent().map_or_else(PathBuf::new, Path::to_owned));
    directory.join(path.file_name().unwrap_or_default())
}

fn not_there(path: &Path) -> Result<(), keys::KeyFileError> {
    if path.symlink_metadata().is_ok() {
        return Err(keys::KeyFileError::Exists { path: path.into() });
    }
    Ok(())
}
