//! `https://`, by the `openssl` of this machine.

use std::fs;

use super::check_both_ways;
use crate::harness::{Authority, Client, Term, Terminator, World};

fn trust(client: &mut Client, authority: &Authority) {
    client.environment.retain(|(name, _)| *name != "SSL_CERT_FILE");
    client.environment.push(("SSL_CERT_FILE", authority.certificate().into()));
}

#[test]
fn folders_sync_over_tls() {
    let mut world = World::new();
    let authority = Authority::new(world.directory(), "authority");
    let certificate = authority.certify("right", "DNS:localhost", Term::Present);
    let tls = Terminator::before(&world.server.address, &certificate);
    for client in [&mut world.a, &mut world.b] {
        client.url = format!("https://localhost:{}", tls.port);
        client.options = &["--workers", "2"];
        trust(client, &authority);
    }
    check_both_ways(&mut world);
    world.stop_clients();
}

/// Whoever answers is not believed without a certificate that is good, for this host, and from somebody who is trusted.
#[test]
fn a_server_that_can_not_prove_who_it_is() {
    let mut world = World::new();
    let (ours, theirs) =
        (Authority::new(world.directory(), "ours"), Authority::new(world.directory(), "theirs"));
    fs::write(world.a.at("secret"), "for the right server only").unwrap();
    for (host, certificate, words) in [
        ("localhost", ours.certify("other", "DNS:other.example", Term::Present), "hostname mismatch"),
        ("localhost", ours.certify("bare", "IP:127.0.0.1", Term::Present), "hostname mismatch"),
        (
            "127.0.0.1",
            ours.certify("named", "DNS:localhost,DNS:127.0.0.1", Term::Present),
            "IP address mismatch",
        ),
        (
            "localhost",
            theirs.certify("unknown", "DNS:localhost", Term::Present),
            "unable to get local issuer certificate",
        ),
        ("localhost", ours.certify("expired", "DNS:localhost", Term::Past), "certificate has expired"),
    ] {
        let tls = Terminator::before(&world.server.address, &certificate);
        world.a.url = format!("https://{host}:{}", tls.port);
        trust(&mut world.a, &ours);
        world.a.once(&[]).expect_code(6).expect_words(&["openssl failed on the way", words]);
    }
    // A right one for an address is right.
    let tls =
        Terminator::before(&world.server.address, &ours.certify("address", "IP:127.0.0.1", Term::Present));
    world.a.url = format!("https://127.0.0.1:{}", tls.port);
    assert!(!world.server.folder.join("secret").exists());
    world.a.once(&[]).expect_code(0);
    assert!(world.server.folder.join("secret").exists());
}

#[test]
fn where_there_is_no_tls() {
    let mut world = World::new();
    let address = world.server.address.clone();
    world.a.url = format!("https://{address}");
    world.a.once(&[]).expect_code(6).expect_words(&["openssl failed on the way", "wrong version number"]);
    world.a.url = "https://127.0.0.1:1".to_owned();
    world.a.once(&[]).expect_code(6).expect_words(&["https://127.0.0.1:1", "refused"]);
    world.a.environment = vec![("PATH", "/nowhere".into())];
    world.a.once(&[]).expect_code(6).expect_words(&["can't start openssl", "install it"]);
}
