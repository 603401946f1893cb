//! Where a server is: `http://host:port/base`, as a person types it.
//!
//! Strict, because a typing error that is repaired here shows up as a riddle somewhere else. The messages are for that person.

use crate::wire::http::uri::parse_authority;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The port of `http` when none is given.
const DEFAULT_PORT: u16 = 80;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    base: String,
}

impl Endpoint {
    /// The host's name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as `Host` wants them: without the port if it is the usual one.
    pub fn authority(&self) -> String {
        match self.port {
            DEFAULT_PORT => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// What comes before every path, without a slash at its end; usually empty.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The addresses behind the name, at least one. Asking for them may take as long as the system's resolver likes.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = (self.host(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() { Err(ErrorKind::AddrNotAvailable.into()) } else { Ok(addresses) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.base)
    }
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// There is no `scheme://`.
    MissingScheme,
    /// A scheme other than `http`.
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
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::MissingScheme => f.write_str("a server's address starts with http://"),
            EndpointError::UnknownScheme { scheme } => {
                write!(f, "unknown scheme {scheme:?}: only http:// is built in")
            }
            EndpointError::MissingHost => f.write_str("no host after http://"),
            EndpointError::BadHost { host } => write!(f, "{host:?} is neither a host name nor an address"),
            EndpointError::BadPort { port } => {
                write!(f, "{port:?} is not a port: a number from 1 to 65535 is")
            }
            EndpointError::UserInfo => {
                f.write_str("no user or password in a server's address: there are tokens for that")
            }
            EndpointError::BadBase { base } => write!(f, "{base:?} is not a plain path"),
        }
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::MissingScheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(EndpointError::UnknownScheme { scheme: scheme.to_owned() });
        }
        let (authority, base) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let base = base.trim_end_matches('/');
        if !base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)) {
            return Err(EndpointError::BadBase { base: base.to_owned() });
        }
        let (host, port) = parse_host_and_port(authority)?;
        Ok(Endpoint { host: host.to_ascii_lowercase(), port, base: base.to_owned() })
    }
}

/// [`parse_authority`] knows whether an authority is right. Where it isn't, this finds out what to tell.
fn parse_host_and_port(authority: &str) -> Result<(&str, u16), EndpointError> {
    match parse_authority(authority) {
        Some((_, Some(0))) => Err(EndpointError::BadPort { port: "0".to_owned() }),
        Some((host, port)) => Ok((host, port.unwrap_or(DEFAULT_PORT))),
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
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let got = (endpoint.host(), endpoint.port(), &*endpoint.authority(), endpoint.base());
            assert_eq!(got, (host, port, authority, base), "{text}");
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn wrong() {
        for (text, message) in [
            ("", "a server's address starts with http://"),
            ("localhost:8080", "a server's address starts with http://"),
            ("https://a", "unknown scheme \"https\": only http:// is built in"),
            ("http://", "no host after http://"),
            ("http://:80", "no host after http://"),
            ("http:///x", "no host after http://"),
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
