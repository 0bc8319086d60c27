//! `POST /send/api/place`: the antenna's verdict becomes a proof that the node holds for five minutes.
//!
//! Nothing is written; the proof is booked with its transfer. A home's antenna proves where the node is; a terminal's also
//! where somebody at its screen is. `POST /send/api/place/signed` takes what a terminal proved. A remote app may say where it is
//! itself: that is a claim, whatever it says, and only the home takes it.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::place::point::DEGREE_E7;
use city_protocol::place::{PlaceProof, SignedPlace, Subject};
use city_protocol::replica::{ClockQuality, PlaceRequest};
use data_encoding::HEXLOWER;

use super::extract::JsonBody;
use super::who::Source;
use super::wire::{Der, PlaceForm, PlacePage, SCHEMA, SignedPlaceForm};
use super::{ApiState, Problem};
use crate::pki::ShownCertificate;

/// Asks for a proof of place.
pub(super) async fn prove(
    State(api): State<ApiState>,
    Source(source): Source,
    JsonBody(form): JsonBody<PlaceForm>,
) -> Result<Json<PlacePage>, Problem> {
    let nonce = HEXLOWER.decode(form.nonce.as_bytes()).ok();
    let nonce = nonce.and_then(|bytes| bytes.try_into().ok());
    let account = form.account.parse()?;
    // Held proofs are few: only accounts that could use one get it.
    api.engine.account_key(&account)?;
    let (subject, verdict) = match form.position {
        None => {
            let verdict = api.antenna.verdict(api.clock.now().time);
            (api.subject(source), verdict)
        }
        // What a person far away says, a terminal cannot vouch for.
        Some(_) if api.terminal.is_some() => return Err(Problem::at_the_home()),
        Some(position) => (Subject::Client, api.antenna.claim(&position.read()?)),
    };
    let request = PlaceRequest {
        subject,
        account,
        transfer_id: form.transfer_id.parse()?,
        nonce: nonce.ok_or(Refusal::BadField)?,
        verdict: Box::new(verdict),
        // Neither the raw sentences nor a salt are kept yet, so nothing is promised of them.
        raw: None,
    };
    let proof = api.engine.place(request).await?;
    let home = api.engine.authority().region();
    let admitted = proof.admit(home, api.antenna.policy(), proof.time);
    Ok(Json(page(&proof, admitted)))
}

/// Holds what a terminal of this municipality proved, as if the own antenna had.
pub(super) async fn hold(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<SignedPlaceForm>,
) -> Result<Json<PlacePage>, Problem> {
    let SignedPlaceForm {
        proof,
        signature,
        certificate,
        chain,
    } = form;
    let signature = signature.read()?;
    api.takes(signature.alg)?;
    let now = api.clock.now();
    // A certificate's dates cannot be judged by a clock that is not known.
    if now.quality == ClockQuality::Floor {
        return Err(Refusal::ClockUnknown.into());
    }
    let shown = ShownCertificate {
        leaf: certificate.0,
        chain: chain.into_iter().map(|Der(der)| der).collect(),
    };
    let clients = api.clients.clone();
    let job = move || {
        let terminal = clients.judge_terminal(&shown, now.time)?;
        if signature.key != terminal.key.id() {
            return Err(Refusal::WrongKey.into());
        }
        let signature = signature.signature()?;
        Ok::<_, Problem>(SignedPlace { proof, signature }.verify(&terminal.key)?)
    };
    let proof = api.on_pool(job).await??;
    let proof = api.engine.hold_place(proof).await?;
    let home = api.engine.authority().region();
    let admitted = proof.admit(home, api.antenna.policy(), now.time);
    Ok(Json(page(&proof, admitted)))
}

impl ApiState {
    /// Whose place the antenna proves: at a kiosk, of who asks from the box itself, theirs.
    const fn subject(&self, source: IpAddr) -> Subject {
        match &self.terminal {
            Some(_) if source.is_loopback() => Subject::KioskSession,
            _ => Subject::Node,
        }
    }
}

fn page(proof: &PlaceProof, admitted: Result<(), Refusal>) -> PlacePage {
    PlacePage {
        schema: SCHEMA,
        proof: proof.encode(),
        digest: proof.digest(),
        grade: proof.grade,
        reasons: proof
            .reasons
            .iter()
            .map(|reason| reason.as_str().into())
            .collect(),
        municipality: proof.municipality.clone(),
        lat: proof.lat_e7.map(degrees),
        lon: proof.lon_e7.map(degrees),
        satellites_used: proof.satellites_used,
        time: proof.time,
        satisfies_policy: admitted.is_ok(),
        code: admitted.err().map(|refusal| refusal.code().into()),
    }
}

/// Decimal degrees for showing; the proof itself holds integers. Seven decimals print back exactly.
pub(crate) fn degrees(e7: i32) -> f64 {
    f64::from(e7) / f64::from(DEGREE_E7)
}
