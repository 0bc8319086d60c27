//! Many cases, one a line: read, answered and written one after the other, in order, with bounded memory.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use zeroize::Zeroize as _;

use super::case::{Task, answer, too_long};

/// Longest line of a batch in bytes: a message of nearly 2 MiB in hexadecimal, and its key. A longer one is answered
/// with `line-too-long` and not kept.
pub const MAX_LINE: u64 = 4 << 20;

/// What some programs of Windows put before UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were answered.
    pub lines: u64,
    /// Those with `"ok":false`.
    pub refused: u64,
}

/// Answers every line of the input, each with one line. Empty lines are passed over, and so is a byte order mark.
///
/// # Errors
/// What the system says about reading or writing.
pub fn run(task: Task, input: impl Read, output: impl Write) -> io::Result<Tally> {
    let (mut input, mut output) = (BufReader::new(input), BufWriter::new(output));
    let (mut tally, mut line, mut first) = (Tally::default(), Vec::new(), true);
    loop {
        if input.buffer().is_empty() {
            // Whoever waits for an answer before the next question is to get it.
            output.flush()?;
        }
        line.zeroize();
        if (&mut input).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            output.flush()?;
            return Ok(tally);
        }
        let answer = if line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE {
            let case = match line.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) if first => rest,
                _ => &line,
            };
            first = false;
            if case.trim_ascii().is_empty() {
                continue;
            }
            answer(task, case)
        } else {
            first = false;
            input.skip_until(b'\n')?;
            too_long()
        };
        tally.lines += 1;
        tally.refused += u64::from(!answer.ok);
        output.write_all(answer.line.as_bytes())?;
        output.write_all(b"\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_answer_in_order_also_one_that_is_too_long() {
        let long = format!("{{\"id\":2,\"alg\":\"{}\"}}", "x".repeat(5 << 20));
        let input =
            format!("\u{feff}{{\"id\":1}}\n{long}\n\n \r\n[]\n{{\"id\":\"last\",\"alg\":\"x\"}}");
        let mut output = Vec::new();
        let tally = run(Task::Verify, input.as_bytes(), &mut output).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"id\":1,\"ok\":false,\"reason\":\"missing-field\"}\n\
             {\"id\":null,\"ok\":false,\"reason\":\"line-too-long\"}\n\
             {\"id\":null,\"ok\":false,\"reason\":\"not-json\"}\n\
             {\"id\":\"last\",\"ok\":false,\"reason\":\"unknown-algorithm\"}\n"
        );
        assert_eq!((tally.lines, tally.refused), (4, 4));
    }
}
