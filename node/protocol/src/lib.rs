//! The rules of the municipal ledger.
