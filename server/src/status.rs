//! What the server tells of itself.

use std::fmt::Write;

use common::protocol::{Allowance, Amount};
use common::wire::json::Writer;

use crate::answer::Answer;
use crate::hub::Listener;
use crate::route::Public;
use crate::service::Service;
use crate::view::View;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4";

/// The page for people. It shows nothing of the box, since nobody is asked for a key here.
const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>filesync</title>
<h1>filesync</h1>
<p>This server keeps folders in sync. Start a client with its address:</p>
<pre>client_a --server ADDRESS --token-file FILE DIR</pre>
";

/// What is counted, at one moment.
struct Figures {
    epoch: String,
    seq: u64,
    there: Amount,
    allowed: Allowance,
    listeners: Vec<Listener>,
    uptime: u64,
    connections: usize,
}

fn figures(service: &Service, view: &View<'_>) -> Figures {
    let cursor = view.index().cursor();
    let listeners = view.listeners();
    Figures {
        epoch: cursor.epoch.to_string(),
        seq: cursor.seq,
        there: view.amount(),
        allowed: view.allowed(),
        uptime: service.started.elapsed().as_secs(),
        // Whoever sees a part of the box is not to know how many others there are.
        connections: if view.is_whole() { service.registry.count() } else { listeners.len() },
        listeners,
    }
}

/// `GET /status`.
pub(crate) fn status(service: &Service, view: &View<'_>) -> Answer {
    let mut figures = figures(service, view);
    figures.listeners.sort_by(|a, b| (&a.name, &a.client).cmp(&(&b.name, &b.client)));
    Answer::bytes(200, JSON, status_json(&figures)).with("cache-control", "no-store")
}

fn status_json(figures: &Figures) -> Vec<u8> {
    let mut json = Writer::new();
    json.begin_object()
        .field_str("version", env!("CARGO_PKG_VERSION"))
        .field_str("epoch", &figures.epoch)
        .field_u64("seq", figures.seq)
        .field_u64("entries", figures.there.entries)
        .field_u64("bytes", figures.there.bytes);
    if !figures.allowed.is_boundless() {
        json.key("quota");
        figures.allowed.encode(&mut json);
    }
    json.key("clients").begin_array();
    for listener in &figures.listeners {
        let cursor = format!("{}-{}", figures.epoch, listener.seq);
        json.begin_object()
            .field_str("id", &listener.client)
            .field_str("name", &listener.name)
            .field_str("cursor", &cursor)
            .end_object();
    }
    json.end_array()
        .field_u64("uptime", figures.uptime)
        .field_u64("connections", figures.connections as u64)
        .end_object();
    let mut bytes = json.finish();
    bytes.push(b'\n');
    bytes
}

/// `GET /metrics`.
pub(crate) fn metrics(service: &Service, view: &View<'_>) -> Answer {
    let figures = figures(service, view);
    let mut text = String::new();
    for (name, kind, value) in [
        ("entries", "gauge", figures.there.entries),
        ("bytes", "gauge", figures.there.bytes),
        ("seq", "gauge", figures.seq),
        ("clients", "gauge", figures.listeners.len() as u64),
        ("connections", "gauge", figures.connections as u64),
        ("uptime_seconds", "gauge", figures.uptime),
        ("files_read_again_total", "counter", service.store.reads()),
        ("requests_total", "counter", service.requests.get()),
        ("denials_total", "counter", service.denials.get()),
        ("panics_total", "counter", service.panics.get()),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# TYPE filesync_{name} {kind}\nfilesync_{name} {value}");
    }
    Answer::bytes(200, METRICS, text)
}

/// What anybody may ask for.
pub(crate) fn public(page: Public) -> Answer {
    match page {
        Public::Health => health(),
        Public::Page => start_page(),
    }
}

fn health() -> Answer {
    Answer::bytes(200, TEXT, "ok\n").with("cache-control", "no-store")
}

fn start_page() -> Answer {
    Answer::bytes(200, "text/html; charset=utf-8", PAGE)
        .with("content-security-policy", "default-src 'none'")
        .with("x-content-type-options", "nosniff")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::Realm;

    #[test]
    fn status_is_one_line_of_json() {
        let listener =
            Listener { client: "9c".into(), name: "the \"laptop\"".into(), realm: Realm::default(), seq: 3 };
        let figures = Figures {
            epoch: "00000000000000ab".into(),
            seq: 5,
            there: Amount { entries: 1, bytes: 2 },
            allowed: Allowance { bytes: Some(3), entries: None },
            listeners: vec![listener],
            uptime: 7,
            connections: 8,
        };
        let text = String::from_utf8(status_json(&figures)).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let want = format!(
            "{{\"version\":\"{version}\",\"epoch\":\"00000000000000ab\",\"seq\":5,\"entries\":1,\"bytes\":2,\"quota\":{{\"bytes\":3}},\"clients\":[\
             {{\"id\":\"9c\",\"name\":\"the \\\"laptop\\\"\",\"cursor\":\"00000000000000ab-3\"}}],\"uptime\":7,\"connections\":8}}\n"
        );
        assert_eq!(text, want);
    }
}
