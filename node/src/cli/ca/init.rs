//! `ca init`: makes a CA, a further root, or a CA below another one.

use std::path::PathBuf;

use city_protocol::crypto::Suite;
use city_protocol::pki::fingerprint;
use clap::Args;
use serde_json::json;

use super::{CA_PASSPHRASE, CaArgs, now};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::suite::suites;
use crate::keys;
use crate::pki::{Authority, CaLock};
use crate::setup::{LIST_DAYS, ROOT_DAYS, validity};

/// Arguments of `ca init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A prefecture's CA, on a machine without a network:
    city-node ca init --ca ishikawa-ca --name \"石川県 CA\"
  Years later, a further root beside the old one; both are trusted until the old one is taken away:
    city-node ca init --ca ishikawa-ca --add-root --name \"石川県 CA 2\"
  A municipality's CA below it: the municipality makes a key, the prefecture certifies it, and then
    city-node ca init --ca kanazawa-ca --intermediate kanazawa.pem --key kanazawa.key

The keys are sealed by a passphrase (argon2id): from --passphrase-file, the systemd credential ca.passphrase, or asked
for. `city-node init --new-network` makes a CA by itself.")]
pub struct InitArgs {
    #[command(flatten)]
    ca: CaArgs,
    /// The CA's name, as certificates show it.
    #[arg(long, value_name = "NAME", required_unless_present = "intermediate")]
    name: Option<String>,
    /// Add a further post-quantum and classical root to the CA that is there.
    #[arg(long, conflicts_with_all = ["intermediate", "key"])]
    add_root: bool,
    /// The certificate that the CA above issued, with those above it behind it.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "name")]
    intermediate: Option<PathBuf>,
    /// The signing key that the certificate is for (city-node key generate).
    #[arg(long, value_name = "FILE", requires = "intermediate")]
    key: Option<PathBuf>,
    /// Suite of the post-quantum root.
    #[arg(long, value_name = "SUITE", value_parser = suites(), default_value_t = Suite::Dilithium5Ntru)]
    suite: Suite,
    /// Leave the keys unencrypted: for trials on a machine that is yours alone.
    #[arg(long, conflicts_with = "passphrase_file")]
    unencrypted: bool,
    /// For how many days the roots are valid.
    #[arg(long, value_name = "DAYS", default_value_t = ROOT_DAYS, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: InitArgs) -> Outcome {
    let now = now()?;
    let years = validity(now, args.days);
    let directory = &args.ca.ca;
    let lock = |what: &str| {
        Ok::<_, anyhow::Error>(if args.unencrypted {
            CaLock::Unencrypted
        } else {
            CaLock::Passphrase(args.ca.passphrase.new_for(what, CA_PASSPHRASE)?)
        })
    };
    let name = args.name.as_deref().unwrap_or_default();
    let authority = if args.add_root {
        let passphrase = super::unlock(directory, &args.ca.passphrase)?;
        let mut authority = Authority::open(directory, passphrase.as_ref())?;
        // The new keys are kept as the old ones are, unless something else is asked for.
        let lock = match passphrase {
            Some(passphrase) if !args.unencrypted => CaLock::Passphrase(passphrase),
            Some(_) => CaLock::Unencrypted,
            None => lock("the new root")?,
        };
        authority.add_root(name, args.suite, &lock, years)?;
        authority
    } else if let (Some(intermediate), Some(key)) = (&args.intermediate, &args.key) {
        let key = keys::load_signing(key)?;
        Authority::create_intermediate(directory, intermediate, key, &lock("the new CA")?, years)?
    } else {
        Authority::create(directory, name, args.suite, &lock("the new CA")?, years)?
    };
    let lists = authority.write_lists(validity(now, LIST_DAYS))?;
    let pq = fingerprint(authority.root_der());
    let tls = fingerprint(authority.tls_root());
    if args.json {
        let lists: Vec<_> = lists.iter().map(|list| &list.path).collect();
        output::object(json!({
            "ca": directory, "root": pq.to_string(), "tls_root": tls.to_string(), "crls": lists,
            "encrypted": Authority::is_sealed(directory)?,
        }))?;
    } else {
        let ca = directory.display();
        output::text(&format!(
            "{ca} is ready.\n  \
             post-quantum  {pq}\n  \
             classical     {tls}\n\
             Compare these where the roots are trusted, and pin the first to the region that it may speak for.\n\
             Back up the directory and its passphrase, each in a place of its own. Its first revocation lists are in\n\
             date for {LIST_DAYS} days; `city-node ca crl --ca {ca}` writes new ones.\n",
        ))?;
    }
    Ok(Exit::Ok)
}
