//! The cast: a CA and a genesis, three municipalities with their data directories, and their officers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use city_drivers::gnss::replay;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::{Algorithm, SecretKey, Suite};
use city_protocol::genesis::Purpose;
use city_protocol::place::{BoundaryIndex, Point};
use city_protocol::region::Region;
use libp2p::PeerId;

use crate::config::{Config, Peer};
use crate::place::import::{ImportOptions, import};
use crate::place::outlines::{DEMO_CITIES, demo_boundary};
use crate::setup::{
    Boundary, CaProtection, DataDir, InitReport, InitRequest, NetworkChoice, init, write_config,
};

/// How many officers each municipality has, and how many must sign.
pub(super) const OFFICERS: (usize, u64) = (3, 2);

/// A municipality before it has a node.
pub(super) struct Plan {
    pub(super) region: Region,
    pub(super) name: String,
    /// Where its receiver stands.
    pub(super) point: Point,
    pub(super) boundary: BoundaryIndex,
    /// The capture that its receiver plays, instead of the simulator.
    pub(super) capture: Option<PathBuf>,
    pub(super) recorded: bool,
}

/// A municipality with its node's directory.
pub(super) struct Municipality {
    pub(super) plan: Plan,
    pub(super) data: DataDir,
    pub(super) config: Config,
    pub(super) report: InitReport,
    pub(super) officers: Vec<SecretKey>,
}

/// The three municipalities; with a capture the first one is where that was recorded.
pub(super) fn plans(
    capture: Option<&Path>,
    boundaries: Option<&Path>,
    assume_recorded: bool,
) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = DEMO_CITIES
        .iter()
        .map(|city| {
            Ok(Plan {
                region: city.region.parse().context("a region of the demo")?,
                name: city.name.to_owned(),
                point: city.point(),
                boundary: demo_boundary(),
                capture: None,
                recorded: false,
            })
        })
        .collect::<Result<_>>()?;
    if let Some(capture) = capture {
        plans[0] = recorded_plan(capture, boundaries, assume_recorded)?;
    }
    Ok(plans)
}

/// The municipality in which a capture was recorded.
fn recorded_plan(capture: &Path, boundaries: Option<&Path>, assume_recorded: bool) -> Result<Plan> {
    let Some(boundaries) = boundaries else {
        bail!(
            "--replay needs --boundaries FILE|DIR: the demo's own outlines cover only three cities \
             in Ishikawa; give the GeoJSON of the place where the capture was recorded"
        );
    };
    let file = std::fs::File::open(capture)
        .with_context(|| format!("--replay {}: cannot be read", capture.display()))?;
    let mut last = None;
    for fix in replay::fixes(file) {
        let fix = fix.with_context(|| format!("--replay {}: cannot be read", capture.display()))?;
        last = fix.position().or(last);
    }
    let Some((lat, lon)) = last else {
        bail!(
            "--replay {}: no position in it (NMEA or u-blox NAV-PVT is needed)",
            capture.display()
        );
    };
    let point = Point::new(lat, lon).context("a position of the capture")?;
    let imported = import(&[boundaries], &ImportOptions::default())?;
    let location = imported.index.locate(point, 0);
    let (Some(code), Some(name)) = (location.code, location.name) else {
        bail!(
            "{}: the capture's position {point} is in none of its municipalities",
            boundaries.display()
        );
    };
    // JIS X 0402: the first two digits are the prefecture's.
    let prefecture = code.get(..2).unwrap_or(code);
    let region = format!("Asia/JP/{prefecture}/{code}")
        .parse()
        .context("the capture's region")?;
    let name = name.to_owned();
    Ok(Plan {
        region,
        name,
        point,
        boundary: imported.index,
        capture: Some(capture.to_owned()),
        recorded: assume_recorded,
    })
}

/// Makes CA, genesis and the three data directories, and tells each node of the others.
pub(super) fn found(root: &Path, plans: Vec<Plan>, now: Timestamp) -> Result<Vec<Municipality>> {
    let ca = root.join("ca");
    let mut cast: Vec<Municipality> = Vec::new();
    for plan in plans {
        let network = if cast.is_empty() {
            NetworkChoice::New {
                name: "愛の輪 demo".into(),
                purpose: Purpose::Demo,
                prefix: Some("Asia/JP".parse().context("the root's prefix")?),
                ca: Some(ca.clone()),
                protection: CaProtection::Unencrypted,
                ca_suite: Suite::Dilithium5Ntru,
                suites: Suite::ALL.to_vec(),
            }
        } else {
            NetworkChoice::Join {
                ca: ca.clone(),
                passphrase: None,
            }
        };
        let officers: Vec<_> = (0..OFFICERS.0)
            .map(|_| SecretKey::generate(Algorithm::Dilithium5))
            .collect();
        let data = DataDir::new(root.join(plan.region.municipality()));
        let mut config = Config::for_region(plan.region.clone());
        config.clock.trust_system = true;
        config.gnss.recorded = plan.recorded;
        config.api.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let peers = format!("/ip4/127.0.0.1/tcp/{}", free_port()?);
        config.network.listen = vec![peers.parse().context("a loopback address")?];
        let report = init(InitRequest {
            data: data.clone(),
            config: config.clone(),
            network,
            officers: officers.iter().map(|key| key.public().clone()).collect(),
            suite: Suite::Dilithium5Ntru,
            officers_needed: OFFICERS.1,
            witnesses: Vec::new(),
            boundary: Boundary::Index(plan.boundary.clone()),
            api_names: Vec::new(),
            now,
        })?;
        cast.push(Municipality {
            plan,
            data,
            config,
            report,
            officers,
        });
    }
    introduce(&mut cast)?;
    Ok(cast)
}

/// Puts each node on the whitelist of the others.
fn introduce(cast: &mut [Municipality]) -> Result<()> {
    let all: Vec<Peer> = cast
        .iter()
        .map(|city| Peer {
            peer_id: city.report.peer_id,
            name: city.plan.name.clone(),
            region: city.plan.region.clone(),
            addresses: city.config.network.listen.clone(),
            expires_at: None,
            roles: crate::trust::Role::sync_only(),
        })
        .collect();
    for city in cast {
        let own: PeerId = city.report.peer_id;
        city.config.network.peers = all
            .iter()
            .filter(|peer| peer.peer_id != own)
            .cloned()
            .collect();
        write_config(&city.data, &city.config)?;
    }
    Ok(())
}

/// A port that is free now; the node takes it a moment later.
fn free_port() -> Result<u16> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(probe
        .local_addr()
        .context("no free port on loopback")?
        .port())
}
