//! JSON that is read within bounds: so many things of a file and no more, counted before they are held.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// How much more may be read of a file. Each thing counts as it is met, so that nothing is held of what is too much.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<usize>,
    spent: Cell<bool>,
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            left: Cell::new(limit),
            spent: Cell::new(false),
        }
    }

    /// Takes so many; an error for the parser if there are no more.
    pub(super) fn take<E: Error>(&self, many: usize) -> Result<(), E> {
        match self.left.get().checked_sub(many) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.spent.set(true);
                Err(E::custom("too much of it"))
            }
        }
    }

    /// Whether more was asked for than there was.
    pub(super) const fn is_spent(&self) -> bool {
        self.spent.get()
    }
}

/// A list within a budget, each of its elements read by itself.
pub(super) struct List<'b, T> {
    budget: &'b Budget,
    element: PhantomData<T>,
}

impl<'b, T> List<'b, T> {
    pub(super) const fn within(budget: &'b Budget) -> Self {
        Self {
            budget,
            element: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        Each {
            budget: self.budget,
            element: || PhantomData::<T>,
        }
        .deserialize(deserializer)
    }
}

/// A list within a budget, whose elements are read by what `element` makes.
pub(super) struct Each<'b, F> {
    pub(super) budget: &'b Budget,
    pub(super) element: F,
}

impl<'de, S: DeserializeSeed<'de>, F: FnMut() -> S> DeserializeSeed<'de> for Each<'_, F> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de>, F: FnMut() -> S> Visitor<'de> for Each<'_, F> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element_seed((self.element)())? {
            self.budget.take::<A::Error>(1)?;
            all.push(one);
        }
        Ok(all)
    }
}

/// Reads a text within bounds.
///
/// # Errors
/// What the parser says.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(
    text: &'de str,
    how: S,
) -> serde_json::Result<S::Value> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = how.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_where_its_budget_does() {
        let budget = Budget::new(5);
        let list = |text| read(text, List::<u8>::within(&budget));
        assert_eq!(list("[1,2,3]").unwrap(), [1, 2, 3]);
        assert_eq!(list("[4,5]").unwrap(), [4, 5]);
        assert!(!budget.is_spent());
        assert!(list("[6]").is_err() && budget.is_spent());
        assert!(list("[] []").is_err(), "nothing stands behind it");
        assert!(list("[]").unwrap().is_empty());
    }
}
