//! The client for scripts, cron and servers: one pass or following, one-way modes, log lines or JSON lines.

mod lines;

use std::process::ExitCode;

use common::cli::args::Spec;
use common::client::{OPTIONS, Program};

/// The options of both clients, and the one-way modes.
static ALL_OPTIONS: [Spec; OPTIONS.len() + 2] = {
    let mut all = [Spec::flag("push"); OPTIONS.len() + 2];
    let mut index = 0;
    while index < OPTIONS.len() {
        all[index] = OPTIONS[index];
        index += 1;
    }
    all[OPTIONS.len()] = Spec::flag("pull");
    all
};

const ABOUT: &str = "\
client_b keeps a folder in sync with a filesync server; made for scripts, cron and servers.

    client_b --once --token-file key /srv/data            one pass, then exit
    client_b --json /srv/data                             follow, one JSON object a line on stdout
    client_b status --json /srv/data                      how it stands
";

const OWN_OPTIONS: &str = "      --push               the box follows the folder; the folder is never touched
      --pull               the folder follows the box; the box is never touched
      --json               one JSON object a line on stdout instead of log lines on stderr
";

fn main() -> ExitCode {
    let program = Program {
        name: "client_b",
        options: &ALL_OPTIONS,
        about: ABOUT,
        own_options: OWN_OPTIONS,
        reporter: lines::reporter,
    };
    program.run().into()
}
