//! Chromium's own protocol, for what WebDriver has no words for: tracing, and changing the colour
//! scheme of an open page. A connection of its own beside chromedriver's.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message, WebSocket, client::client_with_config, protocol::WebSocketConfig,
};

use super::Window;
use crate::harness::PATIENCE;

/// A connection to the page of one window.
pub struct DevTools {
    socket: WebSocket<TcpStream>,
    last_id: u64,
    events: Vec<Value>,
}

impl DevTools {
    /// Connects to the page of `window`.
    pub fn connect(window: &Window) -> Self {
        let capabilities = window.client().capabilities().expect("a session has capabilities");
        let address = capabilities["goog:chromeOptions"]["debuggerAddress"].as_str();
        let address = address.expect("chromium says where its protocol is").to_owned();
        let connect = || {
            let stream = TcpStream::connect(&address).expect("chromium listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            stream
        };
        let page = page_address(connect(), &address);
        // A trace comes in large pieces.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_with_config(page.as_str(), connect(), Some(config))
            .expect("chromium takes the connection");
        Self { socket, last_id: 0, events: vec![] }
    }

    /// Runs a script before those of every page that is loaded from now on, for as long as this lives.
    pub fn before_each_page(&mut self, script: &str) {
        self.command("Page.enable", json!({}));
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// Sets what the browser says of the reader's wishes, for as long as this lives.
    pub fn prefer(&mut self, name: &str, value: &str) {
        let features = json!([{ "name": name, "value": value }]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What is there to be read, also where the page may run no scripts of its own.
    pub fn text_of_page(&mut self) -> String {
        let expression = json!({ "expression": "document.body.innerText" });
        let text = self.command("Runtime.evaluate", expression)["result"]["value"].take();
        text.as_str().expect("a text").to_owned()
    }

    /// The result of a command; events that come before it are kept.
    pub fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let command = json!({ "id": id, "method": method, "params": parameters });
        self.socket.send(Message::text(command.to_string())).expect("chromium takes a command");
        loop {
            let mut message = self.read();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// All events up to the first one of that name, which is the last of them.
    pub fn events_until(&mut self, name: &str) -> Vec<Value> {
        while self.events.last().is_none_or(|event| event["method"] != name) {
            let event = self.read();
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    fn read(&mut self) -> Value {
        loop {
            match self.socket.read().expect("chromium answers") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Close(_) => panic!("chromium closed its protocol"),
                _ => {}
            }
        }
    }
}

/// Where the protocol of the only page is.
fn page_address(mut stream: TcpStream, host: &str) -> String {
    let request = format!("GET /json/list HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut answer = String::new();
    // It may keep the connection open; the list ends where the JSON does.
    let mut bytes = [0; 4096];
    loop {
        let read = stream.read(&mut bytes).expect("chromium answers");
        answer += &String::from_utf8_lossy(&bytes[..read]);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if let Ok(Value::Array(pages)) = serde_json::from_str(body) {
            let page = pages.iter().find(|page| page["type"] == "page").expect("there is a page");
            return page["webSocketDebuggerUrl"].as_str().expect("an address").to_owned();
        }
        assert!(read > 0, "chromium lists no pages: {answer}");
    }
}
