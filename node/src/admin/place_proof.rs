//! A proof of place for who asks with a challenge: signed, given away, and neither held nor booked.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::ids::{AccountId, TransferId};
use city_protocol::place::proof::Binding;
use city_protocol::place::{Grade, PlaceProof, SignedPlace, Subject};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::AdminState;
use crate::api::Problem;
use crate::api::extract::JsonBody;
use crate::api::wire::SignedPlaceForm;

/// `POST /v1/place/proof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceProofForm {
    /// The challenge: 16 bytes, 32 lower-case hexadecimal digits.
    pub nonce: String,
    /// The account that it is for; none: nobody's, the node's own key stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The transfer that it is for; none: no transfer, all zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
}

pub(super) async fn prove(
    State(admin): State<AdminState>,
    JsonBody(form): JsonBody<PlaceProofForm>,
) -> Result<Json<SignedPlaceForm>, Problem> {
    let (Some(own), Some(shown)) = (&admin.own, &admin.certificate) else {
        return Err(Problem::internal());
    };
    let nonce = HEXLOWER.decode(form.nonce.as_bytes()).ok();
    let nonce = nonce.and_then(|bytes| bytes.try_into().ok());
    let nobody = || AccountId::new(&admin.engine.log(), &own.signer.public().id());
    let account = form.account.as_deref().map(str::parse).transpose()?;
    let transfer_id = form.transfer_id.as_deref().map(str::parse).transpose()?;
    let now = admin.clock.now().time;
    let binding = Binding {
        network: admin.engine.genesis().network(),
        subject: Subject::Node,
        account: account.unwrap_or_else(nobody),
        transfer_id: transfer_id.unwrap_or(TransferId([0; 16])),
        nonce: nonce.ok_or(Refusal::BadField)?,
    };
    let verdict = admin.antenna.verdict(now);
    let proof = PlaceProof::new(binding, &verdict, admin.antenna.policy(), now, None);
    if proof.grade == Grade::None {
        return Err(Refusal::NoPosition.into());
    }
    let (signer, certificate) = (own.signer.clone(), shown.now());
    let signing = move || {
        let signed = SignedPlace::sign(&proof, &*signer);
        let chain = certificate.chain.into_iter().map(ByteBuf::into_vec);
        SignedPlaceForm::of(
            &signed,
            signer.public().id(),
            &certificate.certificate,
            chain,
        )
    };
    let signed = admin.engine.pool().run(signing).await;
    signed.map(Json).ok_or_else(Problem::internal)
}
