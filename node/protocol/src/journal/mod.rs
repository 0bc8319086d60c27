//! The journal (仕訳): postings derived from entries, never stored beside them.

mod chart;
mod expense;
mod posting;
mod sheet;

pub use chart::{AccountClass, CHART, CHART_VERSION, ChartAccount, chart_account, is_expense};
pub use expense::Expense;
pub use posting::{Booked, Parties, Place, Posting, Side, postings, stub_postings};
pub use sheet::{ByCode, Sheet, SheetLine, total};

/// Code of 愛貨, the asset that people hold.
pub const AIKA: u16 = 101;
/// Code of 他者への未払愛貨: promised to others and not yet settled.
pub const PAYABLE: u16 = 203;
/// Code of 他者からの借入愛貨: what others took over an account that did not have it (a shortfall).
pub const BORROWED: u16 = 205;
/// Code of 愛貨贈与差額: where granted 愛貨 comes from.
pub const GRANTED: u16 = 305;
/// Code of 愛の行動受取: what a receiver earns.
pub const RECEIVED: u16 = 401;
