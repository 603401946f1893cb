//! Where a server is, as a person types it, and which way leads there.
//!
//! ```text
//!     http://HOST[:PORT][/BASE]      TCP
//!     https://HOST[:PORT][/BASE]     TLS
//!     unix:PATH                      a Unix socket
//! ```
//!
//! A command may be put in the place of the first two ways; then the address tells by which name the server is asked.
//!
//! Strict, because a typing error that is repaired here shows up as a riddle somewhere else. The messages are for that person.

use super::command::CommandLine;
use crate::sys::socket::UNIX_PATH_BYTES;
use crate::wire::http::uri::parse_authority;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The ports of `http` and `https` when none is given.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// How a server goes by that has no name: over a Unix socket nobody else can be meant.
const LOCAL_HOST: &str = "localhost";

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// The port that goes without saying.
    usual_port: u16,
    base: String,
    way: Way,
}

/// How a connection is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// TCP, to the endpoint's host and port.
    Tcp,
    /// TLS, to the same.
    Tls,
    /// A socket in the file system.
    Unix(PathBuf),
    /// A command whose input and output are the connection.
    Command(CommandLine),
}

impl Endpoint {
    /// Whether opening a connection means that somebody is there; a command may still be on its way.
    pub(super) fn is_met_by_connecting(&self) -> bool {
        matches!(self.way, Way::Tcp | Way::Unix(_))
    }

    /// The same server, but a command leads there.
    pub fn through(self, command: CommandLine) -> Endpoint {
        Endpoint { way: Way::Command(command), ..self }
    }

    /// The host's name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// The host's name or address, an IPv6 address within brackets.
    pub(super) fn bracketed_host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as `Host` wants them: without the port if it is the usual one.
    pub fn authority(&self) -> String {
        if self.port == self.usual_port { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What comes before every path, without a slash at its end; usually empty.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The address as it was typed.
    pub(super) fn url(&self) -> String {
        match &self.way {
            Way::Unix(path) => format!("unix:{}", path.display()),
            Way::Tcp | Way::Tls | Way::Command(_) => {
                let scheme = if self.usual_port == HTTPS_PORT { "https" } else { "http" };
                format!("{scheme}://{}:{}{}", self.host, self.port, self.base)
            }
        }
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// The addresses behind the name, at least one. Asking for them may take as long as the system's resolver likes.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = (self.host(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() { Err(ErrorKind::AddrNotAvailable.into()) } else { Ok(addresses) }
    }
}

/// As it was typed, and through what.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())?;
        if let Way::Command(command) = &self.way { write!(f, " through {command}") } else { Ok(()) }
    }
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// There is no `scheme://`.
    MissingScheme,
    /// A scheme that is not known.
    UnknownScheme {
        /// The one that was given.
        scheme: String,
    },
    /// Nothing after `http://`.
    MissingHost,
    /// Neither a name nor an address.
    BadHost {
        /// What was given.
        host: String,
    },
    /// Not a number from 1 to 65535.
    BadPort {
        /// What was given.
        port: String,
    },
    /// A user or a password.
    UserInfo,
    /// A base path with bytes that need escaping, or with a query or a fragment.
    BadBase {
        /// What was given.
        base: String,
    },
    /// Not the path of a Unix socket.
    BadSocket,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::MissingScheme => {
                f.write_str("a server's address starts with http://, https:// or unix:")
            }
            EndpointError::UnknownScheme { scheme } => {
                write!(f, "unknown scheme {scheme:?}: there are http:, https: and unix:")
            }
            EndpointError::MissingHost => f.write_str("no host after http:// or https://"),
            EndpointError::BadHost { host } => write!(f, "{host:?} is neither a host name nor an address"),
            EndpointError::BadPort { port } => {
                write!(f, "{port:?} is not a port: a number from 1 to 65535 is")
            }
            EndpointError::UserInfo => {
                f.write_str("no user or password in a server's address: there are tokens for that")
            }
            EndpointError::BadBase { base } => write!(f, "{base:?} is not a plain path"),
            EndpointError::BadSocket => {
                write!(f, "after unix: comes the path of a socket, of at most {UNIX_PATH_BYTES} bytes")
            }
        }
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = parse_socket_path(path).ok_or(EndpointError::BadSocket)?.to_owned();
            let (host, base) = (LOCAL_HOST.to_owned(), String::new());
            return Ok(Endpoint { host, port: HTTP_PORT, usual_port: HTTP_PORT, base, way: Way::Unix(path) });
        }
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::MissingScheme)?;
        let (usual_port, way) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (HTTP_PORT, Way::Tcp),
            "https" => (HTTPS_PORT, Way::Tls),
            _ => return Err(EndpointError::UnknownScheme { scheme: scheme.to_owned() }),
        };
        let (authority, base) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let base = base.trim_end_matches('/');
        if !base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)) {
            return Err(EndpointError::BadBase { base: base.to_owned() });
        }
        let (host, port) = parse_host_and_port(authority)?;
        let (host, port) = (host.to_ascii_lowercase(), port.unwrap_or(usual_port));
        Ok(Endpoint { host, port, usual_port, base: base.to_owned(), way })
    }
}

/// The path of a Unix socket, if it can be one.
pub fn parse_socket_path(text: &str) -> Option<&Path> {
    let is_path = !text.is_empty() && text.len() <= UNIX_PATH_BYTES && !text.contains('\0');
    is_path.then(|| Path::new(text))
}

/// [`parse_authority`] knows whether an authority is right. Where it isn't, this finds out what to tell.
fn parse_host_and_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    match parse_authority(authority) {
        Some((_, Some(0))) => Err(EndpointError::BadPort { port: "0".to_owned() }),
        Some(host_and_port) => Ok(host_and_port),
        None if authority.contains('@') => Err(EndpointError::UserInfo),
        None => Err(match authority.rsplit_once(':') {
            _ if authority.is_empty() => EndpointError::MissingHost,
            Some(("", _)) => EndpointError::MissingHost,
            Some((host, port)) if parse_authority(host).is_some() => {
                EndpointError::BadPort { port: port.to_owned() }
            }
            _ => EndpointError::BadHost { host: authority.to_owned() },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right() {
        for (text, host, port, authority, base) in [
            ("http://a", "a", 80, "a", ""),
            ("http://a:80/", "a", 80, "a", ""),
            ("HTTP://A.b:8080", "a.b", 8080, "a.b:8080", ""),
            ("http://127.0.0.1:1/x/y/", "127.0.0.1", 1, "127.0.0.1:1", "/x/y"),
            ("http://[::1]:8080", "::1", 8080, "[::1]:8080", ""),
            ("https://a", "a", 443, "a", ""),
            ("HTTPS://a:443/b", "a", 443, "a", "/b"),
            ("https://a:80", "a", 80, "a:80", ""),
            ("http://a:443", "a", 443, "a:443", ""),
            ("unix:/run/filesync.sock", "localhost", 80, "localhost", ""),
            ("unix:s", "localhost", 80, "localhost", ""),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let got = (endpoint.host(), endpoint.port(), &*endpoint.authority(), endpoint.base());
            assert_eq!(got, (host, port, authority, base), "{text}");
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn a_command_leads_to_a_server_by_its_name() {
        let endpoint: Endpoint = "https://box.example/sync".parse().unwrap();
        let through = endpoint.clone().through("ssh -W localhost:8080 box".parse().unwrap());
        assert_eq!((through.authority(), through.base()), (endpoint.authority(), endpoint.base()));
        assert_eq!(through.to_string(), "https://box.example:443/sync through ssh");
        assert!(matches!(through.way(), Way::Command(_)) && matches!(endpoint.way(), Way::Tls));
    }

    #[test]
    fn wrong() {
        for (text, message) in [
            ("", "a server's address starts with http://, https:// or unix:"),
            ("localhost:8080", "a server's address starts with http://, https:// or unix:"),
            ("ftp://a", "unknown scheme \"ftp\": there are http:, https: and unix:"),
            ("unix:", "after unix: comes the path of a socket, of at most 107 bytes"),
            (
                &format!("unix:{}", "x".repeat(108)),
                "after unix: comes the path of a socket, of at most 107 bytes",
            ),
            ("http://", "no host after http:// or https://"),
            ("http://:80", "no host after http:// or https://"),
            ("http:///x", "no host after http:// or https://"),
            ("http://a:", "\"\" is not a port: a number from 1 to 65535 is"),
            ("http://a:0", "\"0\" is not a port: a number from 1 to 65535 is"),
            ("http://a:80x", "\"80x\" is not a port: a number from 1 to 65535 is"),
            ("http://a:65536", "\"65536\" is not a port: a number from 1 to 65535 is"),
            ("http://a b", "\"a b\" is neither a host name nor an address"),
            ("http://::1", "\"::1\" is neither a host name nor an address"),
            ("http://[::1", "\"[::1\" is neither a host name nor an address"),
            ("http://u:p@a", "no user or password in a server's address: there are tokens for that"),
            ("http://a/x?y", "\"/x?y\" is not a plain path"),
            ("http://a#b", "\"#b\" is not a plain path"),
            ("http://a/b\r\n", "\"/b\\r\\n\" is not a plain path"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), message, "{text}");
        }
    }
}
