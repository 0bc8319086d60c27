//! Valid JSON bodies whose fields were changed and spelled canonically again: what reads them has to look at what they
//! say, not only at how it is written.

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::json;
use serde_json::{Map, Value};

use crate::edits::{Edit, apply};

/// What happened to a valid body's fields before it was spelled canonically.
#[derive(Arbitrary, Debug)]
enum Change<'a> {
    /// A field has another value.
    Set(u8, Spelled<'a>),
    /// A field is missing.
    Remove(u8),
    /// A field too many.
    Add(&'a str, Spelled<'a>),
    /// Two fields have changed their values.
    Swap(u8, u8),
}

/// A value of JSON.
#[derive(Arbitrary, Debug)]
enum Spelled<'a> {
    Text(&'a str),
    Number(u64),
    Below(i64),
    Fraction(f64),
    Yes(bool),
    Nothing,
    List(Vec<&'a str>),
    Object(Vec<(&'a str, u64)>),
    Deep(u8),
}

/// One of these bodies after some changes of its fields, and of its bytes.
///
/// # Errors
/// When the story ends early.
pub(crate) fn respelled(
    story: &mut Unstructured<'_>,
    bodies: &[Vec<u8>],
) -> arbitrary::Result<Vec<u8>> {
    let pick: u8 = story.arbitrary()?;
    let changes: Vec<Change<'_>> = story.arbitrary()?;
    let edits: Vec<Edit> = story.arbitrary()?;
    let body = &bodies[usize::from(pick) % bodies.len()];
    let mut value: Map<String, Value> = serde_json::from_slice(body).expect("a valid body");
    for change in changes {
        change.apply(&mut value);
    }
    // What no canonical form has, such as the number NaN, is left out by serde_json itself.
    let mut bytes = json::canonical(&Value::Object(value));
    apply(&mut bytes, &edits);
    Ok(bytes)
}

impl Change<'_> {
    fn apply(self, value: &mut Map<String, Value>) {
        let name = |n: u8, value: &Map<String, Value>| {
            let n = usize::from(n) % value.len().max(1);
            value.keys().nth(n).cloned().unwrap_or_default()
        };
        match self {
            Self::Set(n, to) => drop(value.insert(name(n, value), to.value())),
            Self::Remove(n) => drop(value.remove(&name(n, value))),
            Self::Add(name, to) => drop(value.insert(name.to_owned(), to.value())),
            Self::Swap(a, b) => {
                let (a, b) = (name(a, value), name(b, value));
                let (old_a, old_b) = (value.get(&a).cloned(), value.get(&b).cloned());
                for (name, new) in [(a, old_b), (b, old_a)] {
                    value.extend(new.map(|new| (name, new)));
                }
            }
        }
    }
}

impl Spelled<'_> {
    fn value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
            Self::Below(number) => number.into(),
            Self::Fraction(number) => number.into(),
            Self::Yes(yes) => yes.into(),
            Self::Nothing => Value::Null,
            Self::List(list) => list.into(),
            Self::Object(fields) => fields
                .into_iter()
                .map(|(name, number)| (name.to_owned(), number.into()))
                .collect::<Map<_, _>>()
                .into(),
            Self::Deep(depth) => (0..depth).fold(Value::from(1), |value, _| vec![value].into()),
        }
    }
}
