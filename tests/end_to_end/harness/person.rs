//! Somebody with a browser's habits: keeps the cookies that the server sets, and sends commands as our page does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    client::Client,
    server::{Response, Server, send},
};

/// Somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// Where the server is.
    pub to: SocketAddr,
    /// What it has set, as `name=value`.
    pub cookie: Option<String>,
}

impl Person {
    /// Nobody in particular yet.
    pub fn new(to: SocketAddr) -> Self {
        Self { to, cookie: None }
    }

    /// Sends a command, and keeps the cookie in the answer.
    pub fn post(&mut self, path: &str, body: &Value) -> Response {
        self.command("POST", path, body)
    }

    /// The same with any method.
    pub fn command(&mut self, method: &str, path: &str, body: &Value) -> Response {
        let origin = format!("http://{}", self.to);
        let mut headers = vec![("Origin", &*origin), ("Content-Type", "application/json")];
        headers.extend(self.cookie.as_deref().map(|cookie| ("Cookie", cookie)));
        let answer = send(self.to, method, path, &headers, body.to_string().as_bytes());
        for set in &answer.cookies {
            let (cookie, attributes) = set.split_once(';').expect("attributes");
            self.cookie = (!attributes.contains("Max-Age=0;")).then(|| cookie.to_owned());
        }
        answer
    }

    /// Who the server says they are.
    pub fn me(&mut self) -> Value {
        let answer = self.post("/me", &json!({}));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Their user id.
    pub fn user(&mut self) -> String {
        self.me()["user"].as_str().expect("an id").to_owned()
    }

    /// A connection of theirs, as far as the server takes the cookie.
    pub fn connect(&self, path: &str) -> Client {
        let cookie = self.cookie.as_deref().map(|cookie| ("Cookie", cookie));
        let headers: Vec<_> = cookie.into_iter().collect();
        Client::try_connect_with(self.to, path, &headers).expect("let in")
    }
}

/// Somebody with an identity, and its user id.
pub fn somebody(server: &Server) -> (Person, String) {
    let mut person = Person::new(server.address);
    let user = person.user();
    (person, user)
}

/// A connection of somebody who looks at tile 0.
pub fn at_tile(person: &Person) -> Client {
    let mut client = person.connect("/ws?v=2");
    client.range(1, 8, &mut vec![]);
    client
}
