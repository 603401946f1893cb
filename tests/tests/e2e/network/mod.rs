//! Networks and servers that misbehave. In each case: nothing is deleted, nothing is asked for in a hot loop, everything else goes on,
//! and when the trouble is over it is over, without a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Asked, Fault, Proxy, World, eventually};

/// Proxies that speak HTTP.
mod gateways;
/// A server that means harm.
mod hostile;
/// Disks that are full.
mod space;
/// The stream that `/sync` answers with.
mod stream;
/// Content on its way, and changes whose answers never come.
mod transfers;

/// A page that some device on the way answers with, whatever was asked.
const PORTAL: &str = "<!DOCTYPE html><html><body>Please accept our terms</body></html>";

/// A world whose client a talks to the server through a proxy, is live, and has some files in agreement with the box.
#[track_caller]
fn world_behind_proxy() -> (World, Proxy) {
    let mut world = World::new();
    let proxy = Proxy::before(&world.server.address);
    world.a.url = proxy.url();
    fill(&world.a.folder);
    world.a.start();
    world.settle();
    (world, proxy)
}

/// What must survive everything.
fn fill(folder: &Path) {
    fs::create_dir(folder.join("kept")).unwrap();
    for number in 0..30 {
        fs::write(folder.join(format!("kept/{number}")), format!("kept {number}")).unwrap();
    }
}

/// Whether what must survive everything has done so, here and there.
#[track_caller]
fn check_kept(world: &World) {
    for folder in [&world.a.folder, &world.server.folder] {
        for number in 0..30 {
            let path = folder.join(format!("kept/{number}"));
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("kept {number}"), "{}", path.display());
        }
    }
}

/// An answer that is a page for people.
fn page(status: &str, fields: &str) -> Fault {
    Fault::says(status, &format!("Content-Type: text/html\r\n{fields}"), PORTAL)
}

/// Fails if requests follow each other faster than twice as slowly each time: from an eighth of a second (a quarter, with jitter) on.
#[track_caller]
fn check_back_off(what: &str, asked: &[Asked]) {
    let (Some(first), Some(last)) = (asked.first(), asked.last()) else { return };
    let eighths = last.at.duration_since(first.at).as_millis() as usize / 125;
    // The first, and one at each doubling; and two more, since news of a path is a reason to try at once.
    let most = 4 + (eighths + 1).ilog2() as usize;
    assert!(asked.len() <= most, "{what}: {} requests in {eighths} eighths of a second", asked.len());
}

/// Waits until so many requests pass a test.
#[track_caller]
fn wait_for_requests(proxy: &Proxy, least: usize, test: impl Fn(&Asked) -> bool) -> Vec<Asked> {
    eventually(&format!("{least} requests"), || {
        let asked = proxy.asked(&test);
        if least <= asked.len() { Ok(asked) } else { Err(format!("there are {}", asked.len())) }
    })
}

/// The gaps between requests.
fn gaps(asked: &[Asked]) -> Vec<Duration> {
    asked.windows(2).map(|two| two[1].at.duration_since(two[0].at)).collect()
}
