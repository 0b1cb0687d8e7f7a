//! A real Chromium, driven through chromedriver; both are gone when dropped.
//!
//! A [`Browser`] is one chromedriver; each of its [`Window`]s is a Chromium process of its own with
//! a fresh profile, so two windows are two players who share nothing. Everything here blocks, like
//! the rest of the harness.

mod accessibility;
mod devtools;
mod frames;
mod hands;
mod metrics;
mod page;
mod painted;

pub use devtools::DevTools;
pub use frames::Frames;
pub use hands::Stroke;
pub use painted::contrast;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::sync_channel,
    time::Duration,
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{Actions, InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction},
    error::CmdError,
    key::Key,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};

use super::{PATIENCE, eventually, server::Server};

const INSTALL: &str = "if it is not installed: apt-get install chromium chromium-driver, on \
                       Debian (cargo xtask test does that)";

/// Quiet, and off the internet: the tests are about this page and nothing else.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    // Whatever the page asks of another host fails, and the console tells.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE localhost",
];

/// Time for a browser to close by itself before it is killed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a command: it has to be drawn in software first, by a page that hears ten thousand
/// updates a second, on a machine that plays other tests.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What a window is looked at on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    /// A phone of 390 x 844 with a finger, or else a desktop of 1280 x 800 with a mouse.
    pub phone: bool,
    /// Whether its owner likes it dark.
    pub dark: bool,
}

impl Screen {
    /// A phone by daylight.
    pub const PHONE: Self = Self { phone: true, dark: false };
}

/// Who looks: what one has set once and for all in the browser.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// What it is looked at on.
    pub screen: Screen,
    /// The window in CSS pixels, where it is not the one of the screen: smaller or zoomed.
    pub size: Option<(u32, u32)>,
    /// The font size in pixels that pages start from.
    pub font_px: u32,
    /// The language that the browser is in.
    pub language: &'static str,
}

impl From<Screen> for Reader {
    fn from(screen: Screen) -> Self {
        Self { screen, size: None, font_px: 16, language: "en-US" }
    }
}

impl Reader {
    fn capabilities(self, profile: &Path) -> Value {
        let Screen { phone, dark } = self.screen;
        let mut arguments: Vec<_> = FLAGS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push(format!("--lang={}", self.language));
        arguments.push(format!(
            "--blink-settings=preferredColorScheme={},defaultFontSize={}",
            u8::from(!dark),
            self.font_px
        ));
        let (width, height) = self.size.unwrap_or(if phone { (390, 844) } else { (1280, 800) });
        let metrics = json!({
            "width": width,
            "height": height,
            "pixelRatio": 1 + u8::from(phone),
            "mobile": phone,
            "touch": phone,
        });
        json!({
            "browserName": "chrome",
            // Certificates that tests make for themselves.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "intl.accept_languages": self.language },
                "mobileEmulation": { "deviceMetrics": metrics },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        })
    }
}

/// Ports that chromedriver may find taken, one after the other.
const PORTS_MAX: usize = 20;

/// A chromedriver and where it listens; `None` if somebody else had its port.
fn started() -> Option<(Child, SocketAddr)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start chromedriver: {error}; {INSTALL}"));
    let lines = BufReader::new(driver.stdout.take().expect("stdout is piped"));
    let (say, said) = sync_channel(1);
    std::thread::spawn(move || {
        // Read to the end, so that chromedriver never waits to be read.
        for line in lines.lines().map_while(Result::ok) {
            let port = line.split_once("started successfully on port ").map(|(_, port)| port);
            let port = port.and_then(|port| port.trim_end_matches('.').parse().ok());
            let is_taken = line.contains("port not available");
            if port.is_some() || is_taken {
                let _ = say.try_send(port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))));
            }
        }
    });
    let address = said.recv_timeout(PATIENCE);
    let address = address.expect("chromedriver says on which port it listens");
    if address.is_none() {
        driver.wait().expect("it ends by itself");
    }
    address.map(|address| (driver, address))
}

/// A running chromedriver.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    runtime: Runtime,
}

impl Browser {
    /// Starts chromedriver on a free port.
    pub fn start() -> Self {
        // It takes a port that is free on [::1], needs the same one on 127.0.0.1, where a server of another test may
        // have it, and ends if so: then another port.
        let (driver, address) =
            (0..PORTS_MAX).find_map(|_| started()).expect("one port of many is free");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { driver, address, runtime: runtime.expect("a runtime can be built") }
    }

    /// Opens the page of `server` in a window of its own, on a desktop by daylight.
    pub fn open(&self, server: &Server) -> Window<'_> {
        self.open_on(Screen::default(), server, "/")
    }

    /// Opens a path of `server` in a window of its own.
    pub fn open_on(&self, screen: Screen, server: &Server, path: &str) -> Window<'_> {
        self.open_at(screen, server.address, path)
    }

    /// Opens a path of what listens at `address`, which need not be the server itself.
    pub fn open_at(&self, screen: Screen, address: SocketAddr, path: &str) -> Window<'_> {
        self.open_url(screen, &format!("http://{address}{path}"))
    }

    /// Opens whatever is at `url` in a window of its own.
    pub fn open_url(&self, screen: Screen, url: &str) -> Window<'_> {
        self.open_for(screen.into(), url)
    }

    /// Opens whatever is at `url` in a window of its own, for a reader with settings of their own.
    pub fn open_for(&self, reader: Reader, url: &str) -> Window<'_> {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let Value::Object(capabilities) = reader.capabilities(profile.path()) else {
            unreachable!("capabilities are an object")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let driver = format!("http://{}", self.address);
        let client = self.runtime.block_on(builder.connect(&driver));
        let client = client.unwrap_or_else(|error| {
            panic!("chromedriver cannot start chromium: {error}; {INSTALL}")
        });
        let window = Window { browser: self, client: Some(client), _profile: profile };
        window.go_to(url);
        window
    }

    /// A command of chromedriver's own, which WebDriver does not have.
    fn post(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(self.address).expect("chromedriver listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let body = body.to_string();
        let (host, length) = (self.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the request is taken");
        // chromedriver keeps its connections open, whatever it is asked.
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).expect("chromedriver answers");
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().expect("a length is a number");
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let answer: Value = serde_json::from_reader(answer.take(length)).expect("JSON");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its windows borrow it, so their Chromium processes are gone by now.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A Chromium with one page in it.
pub struct Window<'browser> {
    browser: &'browser Browser,
    /// `None` only while it is being dropped.
    client: Option<Client>,
    _profile: TempDir,
}

impl Window<'_> {
    /// Loads whatever is at `url`.
    pub fn go_to(&self, url: &str) {
        self.run(self.client().goto(url));
    }

    /// What `script` returns, given `argument` as `arguments[0]`.
    pub fn evaluate(&self, script: &str, argument: impl Into<Value>) -> Value {
        self.run(self.client().execute(script, vec![argument.into()]))
    }

    /// `connecting`, `live` or `offline`, as the page shows it.
    pub fn connection(&self) -> String {
        self.text("return document.body.dataset.connection", Value::Null)
    }

    /// The total on the screen; `None` before there is one.
    pub fn total(&self) -> Option<u32> {
        let total = "return document.getElementById('total').dataset.total";
        self.text(total, Value::Null).parse().ok()
    }

    /// The state of a box on the screen, or `absent` where it is not on the screen.
    pub fn state(&self, id: u32) -> String {
        let script = r#"
            const box = document.querySelector(`#board input.box[data-id="${arguments[0]}"]`);
            if (!box) return 'absent';
            const state = box.dataset.state;
            // What is seen and what is told to a screen reader must agree.
            const marked = state === 'checked' || state === 'waiting';
            return box.checked === marked ? state : `${state}, but its mark says ${box.checked}`;
        "#;
        self.text(script, id)
    }

    /// The box that the page says it is at.
    pub fn place(&self) -> Option<u32> {
        let place = "return document.getElementById('where').dataset.id ?? ''";
        self.text(place, Value::Null).parse().ok()
    }

    /// The part of the address after the path.
    pub fn hash(&self) -> String {
        self.text("return location.hash", Value::Null)
    }

    /// The text of the element that `selector` finds.
    pub fn text_of(&self, selector: &str) -> String {
        self.text("return document.querySelector(arguments[0]).textContent", selector)
    }

    /// Clicks a box with the mouse.
    pub fn click(&self, id: u32) {
        let selector = format!("#board input.box[data-id=\"{id}\"]");
        self.run(async { self.client().find(Locator::Css(&selector)).await?.click().await });
    }

    /// Types into the jump field and presses Enter.
    pub fn jump(&self, typed: &str) {
        self.run(async {
            let field = self.client().find(Locator::Css("#jump")).await?;
            field.clear().await?;
            field.send_keys(&format!("{typed}{}", char::from(Key::Enter))).await
        });
    }

    /// Types into what `selector` finds.
    pub fn type_into(&self, selector: &str, text: &str) {
        self.run(async { self.client().find(Locator::Css(selector)).await?.send_keys(text).await });
    }

    /// The whole address.
    pub fn url(&self) -> String {
        self.text("return location.href", Value::Null)
    }

    /// Presses a key where the focus is.
    pub fn press(&self, key: impl Into<char>) {
        // A keyboard asks no element whether it may be typed into.
        let key = key.into().to_string();
        let actions = ["keyDown", "keyUp"].map(|way| json!({ "type": way, "value": key }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.driver_command("actions", &json!({ "actions": [keyboard] }));
    }

    /// Drags with the mouse, from a box and over a distance on the screen.
    pub fn drag(&self, id: u32, x: f64, y: f64) {
        let selector = format!("#board input.box[data-id=\"{id}\"]");
        self.run(async {
            let element = self.client().find(Locator::Css(&selector)).await?;
            let to = |x, y| PointerAction::MoveBy { duration: None, x, y };
            let mouse = MouseActions::new("mouse".into())
                .then(PointerAction::MoveToElement { element, duration: None, x: 0., y: 0. })
                .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
                .then(to(x / 2., y / 2.))
                .then(to(x / 2., y / 2.))
                .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
            self.client().perform_actions(Actions::from(mouse)).await
        });
    }

    /// Drags with the mouse over a distance, from a point of the window.
    pub fn drag_from(&self, from: (f64, f64), x: f64, y: f64) {
        let by = |x, y| PointerAction::MoveBy { duration: None, x, y };
        let mouse = MouseActions::new("mouse".into())
            .then(PointerAction::MoveTo { duration: None, x: from.0, y: from.1 })
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(by(x / 2., y / 2.))
            .then(by(x / 2., y / 2.))
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.run(self.client().perform_actions(Actions::from(mouse)));
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.run(self.client().refresh());
    }

    /// Waits until the page is live and knows the total.
    pub fn until_live(&self) {
        eventually("a live page with a total", || {
            (self.connection() == "live" && self.total().is_some()).then_some(())
        });
    }

    /// Waits until a box on the screen is in a state.
    pub fn until_state(&self, id: u32, state: &str) {
        eventually(&format!("box {id} to be {state}"), || (self.state(id) == state).then_some(()));
    }

    /// Waits until the page shows a total.
    pub fn until_total(&self, total: u32) {
        eventually(&format!("a total of {total}"), || (self.total() == Some(total)).then_some(()));
    }

    /// Waits until nothing moves any more but what moves for ever.
    pub fn until_still(&self) {
        let still = "return document.getAnimations().every(
            (animation) => animation.effect.getTiming().iterations === Infinity)";
        eventually("the page to be still", || {
            (self.evaluate(still, Value::Null) == true).then_some(())
        });
    }

    /// Writes a picture of the page.
    pub fn save_screenshot(&self, to: &Path) {
        let picture = self.run(self.client().screenshot());
        std::fs::write(to, picture).expect("the picture can be written");
    }

    /// Warnings and errors on the console since the last time.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.driver_command("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of messages").iter();
        entries
            .filter(|entry| !matches!(entry["level"].as_str(), Some("INFO" | "DEBUG")))
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }

    /// The page has run without a warning or an error, a refusal by its own policy among them.
    pub fn assert_no_complaints(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the console says: {complaints:#?}");
    }

    /// The page has asked nothing of any host but its own.
    pub fn assert_no_request_elsewhere(&self) {
        let elsewhere = "return performance.getEntriesByType('resource').map(({ name }) => name)
            .filter((name) => new URL(name).host !== location.host)";
        assert_eq!(self.evaluate(elsewhere, Value::Null), json!([]));
    }

    /// A command of chromedriver's that fantoccini has no name for.
    fn driver_command(&self, name: &str, body: &Value) -> Value {
        let session = self.run(self.client().session_id()).expect("the session has an id");
        let value = self.browser.post(&format!("/session/{session}/{name}"), body);
        assert!(value["error"].is_null(), "{name}: {value}");
        value
    }

    fn text(&self, script: &str, argument: impl Into<Value>) -> String {
        let value = self.evaluate(script, argument);
        value.as_str().unwrap_or_else(|| panic!("{script}: {value}")).to_owned()
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is only taken by drop")
    }

    fn run<T>(&self, command: impl Future<Output = Result<T, CmdError>>) -> T {
        let ran = self.browser.runtime.block_on(async { timeout(ANSWER_LIMIT, command).await });
        let answered =
            ran.unwrap_or_else(|_| panic!("no answer from chromedriver in {ANSWER_LIMIT:?}"));
        answered.unwrap_or_else(|error| panic!("chromedriver: {error}"))
    }

    /// The process of this window's Chromium.
    fn process(&self) -> Option<u64> {
        self.client().capabilities()?.get("goog:processID")?.as_u64()
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.leave_evidence();
        }
        let process = self.process();
        let client = self.client.take().expect("it is only taken here");
        // Chromium outlives a chromedriver that is killed, so it has to go first: asked to,
        // or else by the process id that chromedriver told.
        let close = async { timeout(CLOSE_LIMIT, client.close()).await };
        let closed = matches!(self.browser.runtime.block_on(close), Ok(Ok(())));
        if let (false, Some(process)) = (closed, process) {
            let _ = Command::new("kill").args(["-9", &process.to_string()]).status();
        }
    }
}

impl Window<'_> {
    /// Shows what a failed test would have seen. Asks in a way that cannot panic again.
    fn leave_evidence(&self) {
        let screenshot = async { timeout(CLOSE_LIMIT, self.client().screenshot()).await };
        let Ok(Ok(picture)) = self.browser.runtime.block_on(screenshot) else { return };
        let name = format!("window-{}.png", self.process().unwrap_or_default());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if std::fs::write(&path, picture).is_ok() {
            eprintln!("the window looked like this: {}", path.display());
        }
    }
}
