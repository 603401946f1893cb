//! What `--help` prints: what the program is, examples first, then how it is used. Most of it is the same for both clients.

use super::Program;

/// The options that both clients have.
const OPTIONS: &str = "
      --server URL         the server, http://HOST:PORT, https://HOST or unix:PATH [http://127.0.0.1:8080]
      --connect COMMAND    reach it through a command whose input and output are the connection
      --token-file FILE    file with the key or token (else FILESYNC_TOKEN or API_KEY)
      --name NAME          this client's name, for conflict copies [the machine's name]
      --once               one complete pass, then exit
  -n, --dry-run            only show what one pass would do
      --force              let mass deletions through
      --workers N          transfers at a time [8]
      --poll SECONDS       look for changes by scanning, for folders whose changes the kernel does not tell (NFS, FUSE)
      --ignore PATTERN     do not sync what matches, as in a .gitignore; may be given again; beats DIR/.syncignore
      --no-fsync           do not wait for the disk
";

const END: &str = "  -v, --verbose            say more;  -q, --quiet  say less
  -h, --help               this text;  -V, --version

Every option can be set in the environment: --token-file as FILESYNC_TOKEN_FILE, and so on.
check-ignore prints the rule that matches each path that is ignored; exit 1 if none is.
Exit: 0 in agreement, 1 some paths failed, 2 usage, 4 held, 5 not authorised, 6 server not reachable, 7 no space, 8 folder in use.
";

/// The text for one of the clients.
pub(super) fn help(program: &Program) -> String {
    let Program { name, about, own_options, .. } = program;
    let usage = format!(
        "
Usage: {name} [OPTIONS] DIR
       {name} status [--json] DIR
       {name} conflicts DIR                               lists conflict copies
       {name} resolve DIR PATH --keep mine|theirs|both    settles one
       {name} check-ignore [--ignore PATTERN] DIR PATH...
"
    );
    [about, usage.as_str(), OPTIONS, own_options, END].concat()
}
