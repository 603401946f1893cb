//! The live client, for a person at a terminal: keeps a folder in sync until it is stopped, and shows what is going on.

mod screen;

use std::process::ExitCode;

use common::cli::args::Spec;
use common::client::{OPTIONS, Program};

static ALL_OPTIONS: [Spec; OPTIONS.len()] = OPTIONS;

const ABOUT: &str = "\
client_a keeps a folder in sync with a filesync server, live, both ways.

    client_a --token-file box/.filesync/key ~/notes       until Ctrl-C
    client_a --once ~/notes                               one pass, then exit
    client_a status ~/notes                               how it stands
";

fn main() -> ExitCode {
    let program = Program {
        name: "client_a",
        options: &ALL_OPTIONS,
        about: ABOUT,
        own_options: "",
        reporter: screen::reporter,
    };
    program.run().into()
}
