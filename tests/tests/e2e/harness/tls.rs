//! TLS in front of a server, by `stunnel`, and an authority of its own that vouches for it, by the `openssl` that the clients use too.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::{Process, shell};
use super::wait::eventually;

/// An authority that nobody knows but who is told to.
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// Keeps its files in a new directory of this name in `directory`.
    #[track_caller]
    pub fn new(directory: &Path, name: &str) -> Authority {
        let directory = directory.join(name);
        fs::create_dir(&directory).expect("create a directory");
        shell(
            &directory,
            &format!("{NEW_KEY} -x509 -keyout ca.key -out ca.pem -days 2 -subj /CN=authority 2>/dev/null"),
        );
        Authority { directory }
    }

    /// Its own certificate: who trusts it gives this to OpenSSL as `SSL_CERT_FILE`.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Vouches for `names` (`DNS:localhost`). The files of certificate and key are called `name` and `name.key`.
    #[track_caller]
    pub fn certify(&self, name: &str, names: &str, term: Term) -> Certificate {
        let term = match term {
            Term::Present => "-days 2",
            Term::Past => "-startdate 20010101000000Z -enddate 20020101000000Z",
        };
        shell(
            &self.directory,
            &format!(
                "printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > {name}.cnf
                 printf 'subjectAltName={names}\\n' > {name}.ext
                 : > index; openssl rand -hex 8 > serial
                 {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name} 2>/dev/null
                 openssl ca -batch -notext -config {name}.cnf -extfile {name}.ext -cert ca.pem -keyfile ca.key {term} -in {name}.csr -out {name} 2>/dev/null"
            ),
        );
        Certificate { file: self.directory.join(name), key: self.directory.join(format!("{name}.key")) }
    }
}

const NEW_KEY: &str = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    Present,
    Past,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

/// Listens with TLS, and goes on without to a server, as long as it lives.
pub struct Terminator {
    pub port: u16,
    _process: Process,
}

impl Terminator {
    #[track_caller]
    pub fn before(target: &str, certificate: &Certificate) -> Terminator {
        let Certificate { file, key } = certificate;
        let directory = file.parent().expect("certificates are in a directory");
        eventually("stunnel to listen", || {
            // Free until somebody else takes it; then another one is tried.
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let port = listener.local_addr().expect("the address of a listener").port();
            drop(listener);
            let configuration = directory.join("stunnel.conf");
            let (cert, key) = (file.display(), key.display());
            let text = format!(
                "foreground = yes\npid =\n[box]\naccept = 127.0.0.1:{port}\nconnect = {target}\ncert = {cert}\nkey = {key}\n"
            );
            fs::write(&configuration, text).expect("write a configuration");
            let mut command = Command::new("stunnel");
            let mut process =
                Process::spawn("stunnel", directory, command.arg(&configuration).stdin(Stdio::null()));
            eventually("stunnel to listen or to end", || match TcpStream::connect(("127.0.0.1", port)) {
                Ok(_) => Ok(()),
                Err(_) if process.exit_code().is_some() => Ok(()),
                Err(error) => Err(error.to_string()),
            });
            if process.exit_code().is_some() {
                Err(process.log())
            } else {
                Ok(Terminator { port, _process: process })
            }
        })
    }
}
