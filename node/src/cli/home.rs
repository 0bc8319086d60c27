//! Which home is asked over HTTPS, and as whom: the arguments, and what they open.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::ids::{AccountId, KeyId};
use clap::Args;

use super::account::{certificates, open};
use super::input::read_whole;
use super::launch::runtime;
use super::passphrase::PassphraseArgs;
use crate::api::wire::NodePage;
use crate::client::ApiClient;
use crate::client::person::Person;
use crate::client::wallet::Wallet;

/// Longest saved page in bytes: one of a home is some 2 KB.
const MAX_PAGE: usize = 64 * 1024;

/// Which home, and how it is reached.
#[derive(Debug, Args)]
pub(super) struct HomeArgs {
    /// The home's address.
    #[arg(long, value_name = "URL")]
    pub(super) node: String,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE")]
    pub(super) tls_root: PathBuf,
}

impl HomeArgs {
    /// A client of it, which connects when it is asked.
    pub(super) fn api(&self) -> anyhow::Result<ApiClient> {
        let roots = certificates(&self.tls_root)?;
        Ok(ApiClient::new(&self.node, &roots)?)
    }
}

/// Whose wallet, and which account.
#[derive(Debug, Args)]
pub(super) struct WalletArgs {
    /// The wallet (city-node account create).
    #[arg(long, value_name = "FILE")]
    pub(super) wallet: PathBuf,
    /// The account, if its keys were changed since it was opened.
    #[arg(long)]
    pub(super) account: Option<AccountId>,
    /// The wallet's passphrase.
    #[command(flatten)]
    pub(super) passphrase: PassphraseArgs,
}

impl WalletArgs {
    /// The keys.
    pub(super) fn open(&self) -> anyhow::Result<Wallet> {
        open(&self.wallet, &self.passphrase)
    }
}

/// The account's certificate, for a home that does not hold it.
#[derive(Debug, Args)]
pub(super) struct CertificateArgs {
    /// The account's certificate (PEM, leaf first), sent along when the home asks for it: it was renewed, or the home moved to a
    /// new box.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl CertificateArgs {
    /// Lets the client know it as that of this signing key.
    pub(super) fn known_to(&self, api: &ApiClient, key: KeyId) -> anyhow::Result<()> {
        let Some(file) = &self.certificate else {
            return Ok(());
        };
        let ders = certificates(file)?;
        if let Some((leaf, chain)) = ders.split_first() {
            let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
            api.know(key, leaf, &chain);
        }
        Ok(())
    }
}

/// Whose wallet at which home, where the node on this machine can be asked instead.
#[derive(Debug, Args)]
pub(super) struct PersonArgs {
    /// Ask as the person of this wallet, over HTTPS.
    #[arg(long, value_name = "FILE", requires = "node")]
    pub(super) wallet: Option<PathBuf>,
    /// The account, if its keys were changed since it was opened.
    #[arg(long, requires = "wallet")]
    pub(super) account: Option<AccountId>,
    /// The home's address.
    #[arg(long, value_name = "URL", requires_all = ["wallet", "tls_root"])]
    node: Option<String>,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE", requires = "node")]
    tls_root: Option<PathBuf>,
}

impl PersonArgs {
    /// A client of the home and the keys, if they were named.
    pub(super) fn open(
        &self,
        passphrase: &PassphraseArgs,
    ) -> anyhow::Result<Option<(ApiClient, Wallet)>> {
        let (Some(wallet), Some(node), Some(root)) = (&self.wallet, &self.node, &self.tls_root)
        else {
            return Ok(None);
        };
        let api = ApiClient::new(node, &certificates(root)?)?;
        Ok(Some((api, open(wallet, passphrase)?)))
    }
}

/// The person of a wallet at this home, whose account may have another key's id.
pub(super) fn person(wallet: Wallet, home: &NodePage, account: Option<AccountId>) -> Person {
    let (signing, kem) = wallet.into_keys();
    let person = Person::new(signing, kem, home);
    match account {
        Some(account) => person.of_account(account),
        None => person,
    }
}

/// What a home says of itself: asked now, or saved before.
#[derive(Debug, Args)]
pub(super) struct HomePageArgs {
    /// What the home said of itself (city-node account policy --json), for work without a network.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "node",
        conflicts_with = "node"
    )]
    home: Option<PathBuf>,
    /// The home's address, to ask it now.
    #[arg(long, value_name = "URL", requires = "tls_root")]
    node: Option<String>,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE")]
    tls_root: Option<PathBuf>,
}

impl HomePageArgs {
    /// A client of the home, if it can be asked.
    pub(super) fn api(&self) -> anyhow::Result<Option<ApiClient>> {
        match (&self.node, &self.tls_root) {
            (Some(node), Some(root)) => Ok(Some(ApiClient::new(node, &certificates(root)?)?)),
            _ => Ok(None),
        }
    }

    /// What it says.
    pub(super) fn page(&self) -> anyhow::Result<NodePage> {
        match (self.api()?, &self.home) {
            (Some(api), _) => Ok(runtime()?.block_on(api.node())?),
            (None, Some(file)) => saved_page(file),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }
}

/// Reads what a home said of itself.
pub(super) fn saved_page(file: &Path) -> anyhow::Result<NodePage> {
    let bytes = read_whole(file, MAX_PAGE)?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: not what a home says of itself; write it with: city-node account policy --json",
            file.display()
        )
    })
}
