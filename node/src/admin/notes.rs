//! The board that all homes share, for an operator; `crate::ledger::notes` reads it.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::body::{Label, Note};

use super::AdminState;
use crate::api::Problem;
use crate::api::extract::{Id, JsonBody, Page};
use crate::api::wire::SCHEMA;
use crate::ledger::notes::{HexKey, NoteForm, NotePage, NotedPage, NotesPage};
use crate::ledger::read::Reader;

/// `POST /v1/notes`: writes under a key, or deletes what stands there. Answers when it is durable.
pub(super) async fn write(
    State(admin): State<AdminState>,
    JsonBody(form): JsonBody<NoteForm>,
) -> Result<Json<NotedPage>, Problem> {
    let key = Label::new(&form.key).map_err(|refusal| {
        let why = "a key has 1 to 256 bytes and no control characters";
        Problem::from(refusal).with_detail(why)
    })?;
    let note = Note {
        v: 1,
        key,
        value: form.value.map(|value| value.0.into()),
    };
    let booked = admin.engine.note(note).await?;
    Ok(Json(NotedPage {
        schema: SCHEMA,
        vertex: booked.vertex,
        at: booked.at,
    }))
}

/// `GET /v1/notes/{key}`, the key in hexadecimal digits.
pub(super) async fn one(
    State(admin): State<AdminState>,
    Id(HexKey(key)): Id<HexKey>,
) -> Result<Json<NotePage>, Problem> {
    let found = admin.looking(move |reader| reader.note(&key)).await?;
    found.map(Json).ok_or_else(Problem::not_found)
}

/// `GET /v1/notes`, `?after=` a key.
pub(super) async fn all(
    State(admin): State<AdminState>,
    page: Page<HexKey>,
) -> Result<Json<NotesPage>, Problem> {
    admin.notes(String::new(), page).await
}

/// `GET /v1/notes/under/{prefix}`, `?after=` a key.
pub(super) async fn under(
    State(admin): State<AdminState>,
    Id(HexKey(prefix)): Id<HexKey>,
    page: Page<HexKey>,
) -> Result<Json<NotesPage>, Problem> {
    admin.notes(prefix, page).await
}

impl AdminState {
    async fn notes(&self, prefix: String, page: Page<HexKey>) -> Result<Json<NotesPage>, Problem> {
        if page.limit.is_some() {
            return Err(Refusal::BadField.into());
        }
        let after = page.after.map_or(String::new(), |HexKey(after)| after);
        let look = move |reader: &Reader<'_>| reader.notes(&prefix, &after);
        self.looking(look).await.map(Json)
    }
}
