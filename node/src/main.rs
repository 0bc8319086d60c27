//! The door: leave key logging behind, parse, call the library, answer with an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use city_node::cli;

fn main() -> ExitCode {
    if let Err(error) = cli::leave_key_logging() {
        eprintln!("city-node: {error}");
        return ExitCode::FAILURE;
    }
    cli::main()
}
