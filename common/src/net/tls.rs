//! TLS, by a program that every distribution has and keeps safe: `openssl s_client` carries the connection.
//!
//! ```text
//!     -quiet -no_ign_eof -nocommands   bytes as they are, in both directions, and the end when there are no more from here
//!     -nbio                            both directions at once: a blocking write would keep it from reading
//!     -verify_return_error             no connection without a valid chain to an authority that this machine trusts
//!     -verify_hostname, -verify_ip     ... that vouches for this very host
//!     -servername, -noservername       which host is meant, where several share an address; addresses are not sent (RFC 6066, section 3)
//! ```
//!
//! Whom the machine trusts is OpenSSL's business: its directory of authorities, or the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::command::CommandLine;

/// The program.
pub(super) const OPENSSL: &str = "openssl";

/// The command that carries a verified TLS connection to a host, an IPv6 address in brackets.
pub(super) fn command(host: &str, port: u16) -> CommandLine {
    let place = format!("{host}:{port}");
    let bare = host.trim_matches(['[', ']']);
    let is_address = bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok();
    let who = if is_address {
        ["-noservername", "-verify_ip", bare].to_vec()
    } else {
        ["-servername", bare, "-verify_hostname", bare].to_vec()
    };
    let how = [
        "s_client",
        "-quiet",
        "-no_ign_eof",
        "-nocommands",
        "-nbio",
        "-verify_quiet",
        "-verify_return_error",
    ];
    CommandLine::new(OPENSSL, &[&how[..], &who, &["-connect", &place]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_are_verified_as_what_they_are() {
        let common =
            "openssl s_client -quiet -no_ign_eof -nocommands -nbio -verify_quiet -verify_return_error";
        for (host, port, rest) in [
            (
                "box.example",
                443,
                "-servername box.example -verify_hostname box.example -connect box.example:443",
            ),
            ("127.0.0.1", 8443, "-noservername -verify_ip 127.0.0.1 -connect 127.0.0.1:8443"),
            ("[::1]", 443, "-noservername -verify_ip ::1 -connect [::1]:443"),
            // Whatever a name looks like, it is the value of an option.
            ("-brief", 443, "-servername -brief -verify_hostname -brief -connect -brief:443"),
        ] {
            assert_eq!(command(host, port), format!("{common} {rest}").parse().unwrap(), "{host}");
        }
    }
}
