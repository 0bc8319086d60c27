//! `city-node crypto`: published vectors through the batches, the commands as a person uses them, the demo service.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod data;
mod serve;
mod tool;
mod vectors;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command.arg("crypto").current_dir(directory);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    program(directory).args(arguments).output().unwrap()
}

/// Runs, checks the exit code, gives standard output and standard error.
fn expect(directory: &Path, code: i32, arguments: &[&str]) -> (String, String) {
    let output = run(directory, arguments);
    let told = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (told(output.stdout), told(output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{out}\n{err}"
    );
    (out, err)
}

/// Gives the cases to `city-node crypto VERB --batch -`, and gives back its answers.
fn batch(verb: &str, cases: &[Value]) -> Vec<Value> {
    let mut child = program(Path::new("."))
        .args([verb, "--batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answers: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(case["id"], answer["id"], "answers come in order");
    }
    answers
}
