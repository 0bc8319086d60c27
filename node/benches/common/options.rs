//! What the command line asks of a bench.

/// `cargo bench -p city-node --bench NAME -- [--quick] [--long] [--json]`
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Small sizes: shows that the bench runs; its figures mean nothing.
    pub quick: bool,
    /// Sizes that take minutes.
    pub long: bool,
    /// One JSON object on standard output instead of the table.
    pub json: bool,
}

impl Options {
    /// Reads this process's arguments; ends it on one that it does not know.
    pub fn read() -> Self {
        let mut options = Self {
            quick: false,
            long: false,
            json: false,
        };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--long" => options.long = true,
                "--json" => options.json = true,
                // Cargo's own.
                "--bench" => {}
                other => {
                    eprintln!("unknown argument {other}; known: --quick --long --json");
                    std::process::exit(2);
                }
            }
        }
        options
    }

    /// One of two sizes.
    pub const fn size(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}
