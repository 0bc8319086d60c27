//! What the benches share. Ratios of one run count; a machine's absolute speed is not a result.
//!
//! `options` what the command line asks for · `town` a home with people, in process · `work` their signed
//! transfers · `forge` transfers in a log without signing them · `https` their real API · `process` nodes as processes · `limits` what the machine could do at
//! most · `pace` transfers that come by themselves · `proxy` what passes between two nodes · `table` what is printed.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each bench includes this folder and uses its part of it"
)]

pub mod forge;
pub mod https;
pub mod limits;
pub mod options;
pub mod pace;
pub mod process;
pub mod proxy;
pub mod table;
pub mod town;
pub mod work;
