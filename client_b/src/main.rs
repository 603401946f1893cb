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

const HELP: &str = "\
client_b keeps a folder in sync with a filesync server; made for scripts, cron and servers.

    client_b --once --token-file key /srv/data            one pass, then exit
    client_b --json /srv/data                             follow, one JSON object a line on stdout
    client_b status --json /srv/data                      how it stands

Usage: client_b [OPTIONS] DIR
       client_b status [--json] DIR
       client_b check-ignore [--ignore PATTERN] DIR PATH...

      --server URL         the server [http://127.0.0.1:8080]
      --token-file FILE    file with the key or token (else FILESYNC_TOKEN or API_KEY)
      --name NAME          this client's name, for conflict copies [the machine's name]
      --once               one complete pass, then exit
  -n, --dry-run            only show what one pass would do
      --force              let mass deletions through
      --push               the box follows the folder; the folder is never touched
      --pull               the folder follows the box; the box is never touched
      --json               one JSON object a line on stdout instead of log lines on stderr
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
    let program = Program { name: "client_b", options: &ALL_OPTIONS, help: HELP, reporter: lines::reporter };
    program.run().into()
}
