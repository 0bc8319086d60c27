//! `POST /send/api/place`: the antenna's verdict becomes a proof that the node holds for five minutes.
//!
//! Nothing is written; the proof is booked with its transfer. The subject is the node itself so far: kiosk
//! sessions and clients' own coordinates are not built yet.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::place::point::DEGREE_E7;
use city_protocol::place::{PlaceProof, Subject};
use city_protocol::replica::PlaceRequest;
use data_encoding::HEXLOWER;

use super::extract::JsonBody;
use super::wire::{PlaceForm, PlacePage, SCHEMA};
use super::{ApiState, Problem};

/// Asks for a proof of place.
pub(super) async fn prove(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<PlaceForm>,
) -> Result<Json<PlacePage>, Problem> {
    let nonce = HEXLOWER.decode(form.nonce.as_bytes()).ok();
    let nonce = nonce.and_then(|bytes| bytes.try_into().ok());
    let account = form.account.parse()?;
    // Held proofs are few: only accounts that could use one get it.
    api.engine.account_key(&account)?;
    let verdict = api.antenna.verdict(api.clock.now().time);
    let request = PlaceRequest {
        subject: Subject::Node,
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
