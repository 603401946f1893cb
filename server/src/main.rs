//! The server as a program. What it does is in the library beside it, where the fuzz targets reach it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::run()
}
