//! Tokens, as clients and as plain requests use them.

use std::path::PathBuf;

use super::content::write_secret;
use super::http::{Connection, Request, Response};
use super::process::{program, run};
use super::world::{Server, World};

/// A token as `server token` prints it, and what it was told beside it.
pub struct Token {
    pub text: String,
    pub id: String,
}

/// A token from `server token` with these options.
#[track_caller]
pub fn mint(server: &Server, options: &[&str]) -> Token {
    let finished = run(program("server").arg("token").arg("--box").arg(&server.folder).args(options));
    let finished = finished.expect_code(0);
    let id = finished.stderr.split("the token ").nth(1).and_then(|rest| rest.split(' ').next());
    let id = id.unwrap_or_else(|| panic!("no id in {finished:?}")).to_owned();
    assert!(
        !finished.stderr.contains(finished.stdout.trim_end()),
        "the token is shown only where it is wanted"
    );
    Token { text: finished.stdout.trim_end().to_owned(), id }
}

impl Token {
    /// A request that shows it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(method, target).field("Authorization", &format!("Bearer {}", self.text))
    }

    #[track_caller]
    pub fn get(&self, server: &Server, target: &str) -> Response {
        server.ask(&self.request("GET", target))
    }

    /// Stores a new file.
    #[track_caller]
    pub fn put_new(&self, server: &Server, path: &str, content: &str) -> Response {
        let request = self.request("PUT", &format!("/upload/{path}"));
        server.ask(&request.field("If-None-Match", "*").body(content))
    }

    /// Moves or copies whatever is there.
    #[track_caller]
    pub fn relocate(&self, server: &Server, method: &str, from: &str, to: &str) -> Response {
        let request = self.request(method, &format!("/upload/{from}")).field("If-Match", "*");
        server.ask(&request.field("Destination", to))
    }

    /// Listens, and has heard that it is up to date.
    #[track_caller]
    pub fn listen(&self, server: &Server) -> Connection {
        let mut stream = server.connect();
        stream.send(self.request("GET", "/sync").field("Accept", "text/event-stream").encode());
        assert_eq!(stream.head().status, 200);
        stream.event_named("synced");
        stream
    }

    /// In a file of its own, for a client.
    pub fn file(&self, world: &World) -> Option<PathBuf> {
        let file = world.directory().join(format!("{}.token", self.id));
        write_secret(&file, &self.text);
        Some(file)
    }
}
