//! The live client, for a person at a terminal: keeps a folder in sync until it is stopped, and shows what is going on.

mod screen;

use std::process::ExitCode;

use common::cli::args::Spec;
use common::client::{OPTIONS, Program};

static ALL_OPTIONS: [Spec; OPTIONS.len()] = OPTIONS;

const HELP: &str = "\
client_a keeps a folder in sync with a filesync server, live, both ways.

    client_a --token-file box/.filesync/key ~/notes       until Ctrl-C
    client_a --once ~/notes                               one pass, then exit
    client_a status ~/notes                               how it stands

Usage: client_a [OPTIONS] DIR
       client_a status [--json] DIR
       client_a check-ignore [--ignore PATTERN] DIR PATH...

      --server URL         the server [http://127.0.0.1:8080]
      --token-file FILE    file with the key or token (else FILESYNC_TOKEN or API_KEY)
      --name NAME          this client's name, for conflict copies [the machine's name]
      --once               one complete pass, then exit
  -n, --dry-run            only show what one pass would do
      --force              let mass deletions through
      --workers N          transfers at a time [8]
      --poll SECONDS       look for changes by scanning, for folders whose changes the kernel does not tell (NFS, FUSE)
      --ignore PATTERN     do not sync what matches, as in a .gitignore; may be given again; beats DIR/.syncignore
      --no-fsync           do not wait for the disk
  -v, --verbose            say more;  -q, --quiet  say less
  -h, --help               this text;  -V, --version

Every option can be set in the environment: --token-file as FILESYNC_TOKEN_FILE, and so on.
check-ignore prints the rule that matches each path that is ignored; exit 1 if none is.
Exit: 0 in agreement, 1 some paths failed, 2 usage, 4 held, 5 not authorised, 6 server not reachable, 7 no space, 8 folder in use.
";

fn main() -> ExitCode {
    let program = Program { name: "client_a", options: &ALL_OPTIONS, help: HELP, reporter: screen::reporter };
    program.run().into()
}
