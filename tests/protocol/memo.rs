//! Remembers what verifying found: nine homes verify the same vertex, and it costs a millisecond each time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use city_protocol::ids::sha256;
use city_protocol::refusal::Refusal;
use city_protocol::vertex::VerifiedVertex;

/// Every so many times what is remembered is verified again, and must be the same.
const CHECK_EVERY: u64 = 64;

/// What was verified, by the hash of all that the answer depends on.
#[derive(Default)]
pub(crate) struct Memo {
    known: RefCell<HashMap<[u8; 32], Result<VerifiedVertex, Refusal>>>,
    asked: Cell<u64>,
}

impl Memo {
    /// Gives what is remembered, or else verifies. `known` says what the verifier knows of the log's authority, and
    /// whether it has people's keys.
    pub(crate) fn verify(
        &self,
        known: &[u8],
        header: &[u8],
        body: Vec<u8>,
        verify: impl FnOnce(Vec<u8>) -> Result<VerifiedVertex, Refusal>,
    ) -> Result<VerifiedVertex, Refusal> {
        let known = sha256(&[known]);
        let len = (header.len() as u64).to_be_bytes();
        let key = sha256(&[&known, &len, header, &body]);
        self.asked.set(self.asked.get() + 1);
        let remembered = self.known.borrow().get(&key).cloned();
        match remembered {
            Some(found) if !self.asked.get().is_multiple_of(CHECK_EVERY) => found,
            Some(found) => {
                let again = verify(body);
                assert!(same(&found, &again), "verifying twice gives two answers");
                again
            }
            None => {
                let found = verify(body);
                self.known.borrow_mut().insert(key, found.clone());
                found
            }
        }
    }
}

fn same(a: &Result<VerifiedVertex, Refusal>, b: &Result<VerifiedVertex, Refusal>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => (&a.known, &a.entries) == (&b.known, &b.entries),
        (a, b) => a.as_ref().err() == b.as_ref().err() && a.is_ok() == b.is_ok(),
    }
}

#[test]
#[should_panic(expected = "verifying twice gives two answers")]
fn a_wrong_answer_that_is_remembered_is_found() {
    let memo = Memo::default();
    for n in 0..=CHECK_EVERY {
        let found = if n == 0 {
            Refusal::BadVertex
        } else {
            Refusal::BadSignature
        };
        let _remembered = memo.verify(&[1], b"header", b"body".to_vec(), |_| Err(found));
    }
}
