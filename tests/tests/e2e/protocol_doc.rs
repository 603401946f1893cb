//! The transcript in `docs/PROTOCOL.md`, executed, so that it can't go stale.
//!
//! ````text
//!     ```sh run          blocks that are run, in order, by one `bash -eu` in an empty directory;
//!     ```                SERVER (http://host:port), KEY and TOKEN are set
//!     ```text output     what the block in front of it prints; `…` stands for anything within a line
//!     ```
//! ````

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{World, program, run};

/// One block of the transcript, and what it prints if that is told.
#[derive(Debug, PartialEq)]
struct Step {
    /// Where it begins, for failure messages.
    line: usize,
    script: String,
    output: Option<String>,
}

/// The steps of a document.
fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        let block: String = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .map(|line| line.to_owned() + "\n")
            .collect();
        match line {
            "```sh run" => steps.push(Step { line: number + 1, script: block, output: None }),
            "```text output" => {
                let step =
                    steps.last_mut().unwrap_or_else(|| panic!("line {}: output of nothing", number + 1));
                assert!(
                    step.output.replace(block).is_none(),
                    "line {}: output of the same block again",
                    number + 1
                );
            }
            _ => {}
        }
    }
    steps
}

/// Whether a line is what `pattern` says, with `…` for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[track_caller]
fn check_output(step: &Step, printed: &str) {
    let Some(wanted) = &step.output else { return };
    let (wanted_lines, lines): (Vec<_>, Vec<_>) =
        (wanted.lines().map(str::trim_end).collect(), printed.lines().map(str::trim_end).collect());
    let same = wanted_lines.len() == lines.len()
        && wanted_lines.iter().zip(&lines).all(|(wanted, line)| matches(wanted, line));
    assert!(
        same,
        "the block at line {} of docs/PROTOCOL.md prints\n{printed}\nbut the document says\n{wanted}",
        step.line
    );
}

#[test]
fn the_transcript_is_true() {
    // Between the outputs of two steps; no step prints it.
    const MARK: &str = "==== end of step ====";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let document = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let steps = steps(&document);
    assert!(
        !steps.is_empty(),
        "docs/PROTOCOL.md has no block marked `sh run`: the transcript is gone, or its marks are"
    );
    let curl = Command::new("curl").arg("--version").output();
    assert!(
        curl.is_ok_and(|output| output.status.success()),
        "the transcript in docs/PROTOCOL.md needs `curl`, which is not installed"
    );

    let world = World::new();
    let directory = world.directory().join("transcript");
    fs::create_dir(&directory).unwrap();
    let mut minting = program("server");
    minting.args(["token", "--client", "phone", "--root", "papers", "--read-only", "--box"]);
    let token = run(minting.arg(&world.server.folder)).expect_code(0).stdout.trim_end().to_owned();
    let script: String =
        steps.iter().map(|step| format!("{}printf '%s\\n' '{MARK}'\n", step.script)).collect();
    let mut bash = Command::new("bash");
    bash.args(["-eu", "-c", &script])
        .current_dir(&directory)
        .env("SERVER", world.server.url())
        .env("KEY", world.server.key())
        .env("TOKEN", token);
    let finished = run(&mut bash);

    let outputs: Vec<&str> = finished.stdout.split_terminator(&format!("{MARK}\n")).collect();
    for (step, output) in steps.iter().zip(&outputs) {
        check_output(step, output);
    }
    let failed = steps.get(outputs.len().saturating_sub(1)).map_or(0, |step| step.line);
    assert_eq!(
        finished.code, 0,
        "the block at line {failed}, or the one behind it, fails:\n{}",
        finished.stderr
    );
}

#[test]
fn the_marks_are_understood() {
    let document =
        "text\n```sh run\na\nb\n```\nmore\n```text output\n1\n```\n```sh\nnot run\n```\n```sh run\nc\n```\n";
    let step = |line, script: &str, output: Option<&str>| Step {
        line,
        script: script.into(),
        output: output.map(str::to_owned),
    };
    assert_eq!(steps(document), [step(2, "a\nb\n", Some("1\n")), step(13, "c\n", None)]);
}

#[test]
fn an_ellipsis_is_anything_within_a_line() {
    for (pattern, line, same) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("…", "", true),
        ("a…c", "abbbc", true),
        ("a…c", "ac", true),
        ("a…c", "abcd", false),
        ("…b…", "abc", true),
        ("…b…b…", "abc", false),
        ("ab…bc", "abc", false),
        ("id: …-3", "id: 5f0c-3", true),
    ] {
        assert_eq!(matches(pattern, line), same, "{pattern} {line}");
    }
}
