//! The server as a child process.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    PATIENCE,
    client::{Client, again},
    cluster::{Cluster, wires::Wires},
    eventually,
};

/// What a server is started with. Small board, free ports, a data folder of its own.
pub struct Setup {
    program: PathBuf,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    data: Arc<TempDir>,
    open_files: Option<u32>,
    ignored: Option<&'static str>,
    heeded: Option<&'static str>,
    terminal: Terminal,
}

/// What controlling terminal a server has.
#[derive(Clone, Copy)]
enum Terminal {
    /// That of the tests, if they have one.
    Theirs,
    None,
    Own,
}

/// Becomes the program of its arguments, with a terminal of its own that lasts as long as that does. In a new
/// session, or it could not have another one.
const ON_A_TERMINAL: &str = "import fcntl, os, sys, termios
ends = os.openpty()
fcntl.ioctl(ends[1], termios.TIOCSCTTY, 0)
for end in ends: os.set_inheritable(end, True)
os.execvp(sys.argv[1], sys.argv[1:])";

impl Setup {
    /// A board of `boxes` boxes in `shards` shards, without rate limits.
    pub fn new(boxes: u32, shards: u32) -> Self {
        let setup = Self::bare();
        let path = setup.data.path().join("data").display().to_string();
        setup
            .with("SERVER__ADDRESS", "127.0.0.1:0")
            .with("ADMIN__ADDRESS", "127.0.0.1:0")
            .with("STORE__PATH", &path)
            .with("BOARD__BOXES", boxes)
            .with("SHARDS__COUNT", shards)
            .with("LIMITER__LIMIT", 0)
            .with("LIMITER__RANGE_LIMIT", 0)
            .with("LIMITS__ADDRESS", "off")
    }

    /// A node of a board that lies in a Redis Cluster; whoever is set up with the same name shares
    /// it.
    pub fn on(cluster: &Cluster, name: &str, boxes: u32, shards: u32) -> Self {
        let mut setup = Self::new(boxes, shards).with("BOARD__NAME", name);
        setup.environment.remove("BILLION__STORE__PATH");
        setup.with_variable("REDIS_ADDRESSES", &list(&cluster.addresses()))
    }

    /// Reaches Redis through lines of its own only.
    pub fn through(self, wires: &Wires) -> Self {
        let setup = self.with_variable("REDIS_ADDRESSES", &list(&wires.addresses()));
        setup.with_variable("REDIS_ADDRESSES_REMAP", &wires.remap())
    }

    /// Nothing set at all: only a folder to start in.
    pub fn bare() -> Self {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let environment = BTreeMap::new();
        Self {
            program: env!("CARGO_BIN_EXE_billion").into(),
            environment,
            arguments: Vec::new(),
            data,
            open_files: None,
            ignored: None,
            heeded: None,
            terminal: Terminal::Theirs,
        }
    }

    /// Writes a file into the folder that the server starts in.
    pub fn with_file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.data.path().join(name), content).expect("a writable file");
        self
    }

    /// Starts another build of the server.
    pub fn with_program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Adds to the command line.
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// The folder that the server starts in.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// Sets `BILLION__{key}`.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.insert(format!("BILLION__{key}"), value.to_string());
        self
    }

    /// Leaves `BILLION__{key}` to a file.
    pub fn without(mut self, key: &str) -> Self {
        self.environment.remove(&format!("BILLION__{key}"));
        self
    }

    /// Sets an environment variable as it is.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// An environment variable that was set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Lets the server open at most so many files.
    pub fn with_open_files(mut self, files: u32) -> Self {
        self.open_files = Some(files);
        self
    }

    /// Starts the server with a signal ignored, as `nohup` does with `HUP`.
    pub fn with_ignored(mut self, signal: &'static str) -> Self {
        self.ignored = Some(signal);
        self
    }

    /// Starts the server with a signal at its default, also where the tests themselves run below `nohup`.
    pub fn with_heeded(mut self, signal: &'static str) -> Self {
        self.heeded = Some(signal);
        self
    }

    /// Starts the server without a controlling terminal, as service managers do.
    pub fn without_terminal(mut self) -> Self {
        self.terminal = Terminal::None;
        self
    }

    /// Starts the server with a controlling terminal of its own.
    pub fn with_terminal(mut self) -> Self {
        self.terminal = Terminal::Own;
        self
    }

    /// The folder that holds the store's files.
    pub fn store_path(&self) -> PathBuf {
        PathBuf::from(&self.environment["BILLION__STORE__PATH"])
    }

    fn command(&self) -> Command {
        let mut prepared = String::new();
        if let Some(files) = self.open_files {
            prepared += &format!("ulimit -n {files} && ");
        }
        if let Some(signal) = self.ignored {
            prepared += &format!("trap '' {signal} && ");
        }
        prepared += "exec ";
        if let Some(signal) = self.heeded {
            // A shell cannot heed what was ignored when it started.
            prepared += &format!("env --default-signal={signal} ");
        }
        match self.terminal {
            Terminal::Theirs => {}
            Terminal::None => prepared += "setsid ",
            Terminal::Own => prepared += &format!("setsid python3 -c '{ON_A_TERMINAL}' "),
        }
        let mut command = if prepared == "exec " {
            Command::new(&self.program)
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{prepared}\"$0\" \"$@\"")]).arg(&self.program);
            shell
        };
        let inherited = std::env::vars().filter(|(name, _)| {
            let prefixed = ["BILLION__", "WEBSOCKET_", "REDIS_", "LIMITER_"];
            let named = ["SERVER_ADDRESS", "ALLOWED_ORIGINS", "ME_URL", "BUY_ME_A_COFFEE_URL"];
            !prefixed.iter().any(|prefix| name.starts_with(prefix))
                && !named.contains(&name.as_str())
                && name != "RUST_LOG"
        });
        command.env_clear().envs(inherited).envs(&self.environment).args(&self.arguments);
        // Away from the repository, so that its settings.toml and data/ stay out of it.
        command.current_dir(self.data.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts the server and waits until it listens.
    pub fn start(&self) -> Server {
        self.start_command(self.command())
    }

    /// Starts a server that is expected to end by itself: its exit status and what it said.
    pub fn fail_to_start(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let mut command = self.command();
        let child = command.args(arguments).spawn().expect("the server can be started");
        let output = child.wait_with_output().expect("it ends");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs it to its end: its exit code, what it printed and what it complained about.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Starts a command of the binary, such as `export`.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("the command can be started")
    }

    /// Runs a command of the binary to its end, with `input` as its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let output = std::thread::scope(|scope| {
            // A command that fails early does not read it all.
            scope.spawn(move || _ = stdin.write_all(input));
            child.wait_with_output().expect("it ends")
        });
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran { code: output.status.code(), output: output.stdout, said }
    }

    /// Runs a command of the binary with these streams: its exit code, and what it said to a pipe.
    pub fn run_on(&self, stdout: Stdio, stderr: Stdio, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments).stdout(stdout).stderr(stderr);
        let child = command.spawn().expect("the command can be started");
        // The command's ends of the pipes.
        drop(command);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran { code: output.status.code(), output: output.stdout, said }
    }

    /// Runs a command of the binary on a terminal, where `typed` is typed: its exit code and all that
    /// is shown.
    pub fn run_on_terminal(&self, arguments: &[&str], typed: &str) -> (Option<i32>, String) {
        let plain = self.command();
        let words = [plain.get_program()].into_iter().chain(plain.get_args());
        let words = words.map(|word| word.to_str().expect("text")).chain(arguments.iter().copied());
        let line: Vec<_> = words.map(|word| format!("'{word}'")).collect();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        command.env_clear().current_dir(self.data.path());
        let set = plain.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(set).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("script (bsdutils) can be started");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(typed.as_bytes()).expect("the terminal takes it");
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn start_command(&self, mut command: Command) -> Server {
        let mut child = command.spawn().expect("the server can be started");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    log.lock().expect("unpoisoned").push(line);
                }
            }
        });
        let mut server = Server {
            child,
            log,
            reader: Some(reader),
            address: ([0, 0, 0, 0], 0).into(),
            admin: ([0, 0, 0, 0], 0).into(),
            _data: self.data.clone(),
        };
        server.address = server.announced("listening on http://");
        server.admin = server.announced("metrics on http://");
        server
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// What became of a command that ended by itself.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub said: String,
}

impl Ran {
    /// Standard output that has to be text.
    pub fn printed(&self) -> &str {
        std::str::from_utf8(&self.output).expect("text")
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    /// Where players connect.
    pub address: SocketAddr,
    /// Where `/metrics` is.
    pub admin: SocketAddr,
    _data: Arc<TempDir>,
}

impl Server {
    fn announced(&mut self, prefix: &str) -> SocketAddr {
        eventually(prefix, || {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            let log = self.log.lock().expect("unpoisoned");
            let line = log.iter().find_map(|line| line.split_once(prefix))?.1;
            // Every interface is told as what one can click on.
            let reached = line.split(['/', ' ', '"']).next()?.replace("localhost", "127.0.0.1");
            reached.parse().ok()
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("unpoisoned").join("\n")
    }

    /// A plain client that has been told the total.
    pub fn client(&self) -> Client {
        Client::connect(self.address, "/ws")
    }

    /// A `v=2` client that has been told the total.
    pub fn client_v2(&self) -> Client {
        Client::connect(self.address, "/ws?v=2")
    }

    /// Sends a signal, named as `kill` wants it (`-TERM`, …).
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(sent.expect("kill can be run").success(), "the server is there to be signalled");
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the server's end", || self.child.try_wait().expect("asked"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log was read");
        }
        status
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.wait();
    }

    /// Status line, headers and body of a GET on the players' listener.
    pub fn get(&self, path: &str) -> Response {
        request(self.address, "GET", path, &[])
    }

    /// The value of one metric, `name` with its labels but `board` as in the text format; 0 if absent.
    pub fn metric(&self, name: &str) -> f64 {
        let response = request(self.admin, "GET", "/metrics", &[]);
        assert_eq!(response.status, 200, "{}", response.body);
        let lines = response.body.lines().map(without_board);
        let value = lines.filter_map(|line| line.strip_prefix(name).map(ToOwned::to_owned)).next();
        value.map_or(0.0, |value| value.trim().parse().expect("a metric is a number"))
    }

    /// CPU time that it has used so far, in steps of 10 ms.
    pub fn cpu_time(&self) -> Duration {
        let process = procfs::process::Process::new(self.pid().cast_signed());
        let stat = process.and_then(|process| process.stat()).expect("the process is there");
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        Duration::from_secs_f64(ticks)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let process = procfs::process::Process::new(self.pid().cast_signed());
        let status = process.and_then(|process| process.status()).expect("the process is there");
        status.vmrss.expect("it has memory") * 1024
    }
}

/// A line of metrics without the label that names the board: a server has one in these tests.
fn without_board(line: &str) -> String {
    let Some((name, rest)) = line.split_once("{board=\"") else { return line.to_owned() };
    let (_, rest) = rest.split_once('"').expect("the label's end");
    match rest.strip_prefix('}') {
        Some(value) => format!("{name}{value}"),
        None => format!("{name}{{{}", rest.trim_start_matches(',')),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}

/// An HTTP response, read to its end.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Status line and headers, lower-case.
    pub head: String,
    /// Values of `Set-Cookie`, as they were sent.
    pub cookies: Vec<String>,
    /// Body, as text where it is text.
    pub body: String,
    /// Body.
    pub bytes: Vec<u8>,
}

/// One HTTP/1.1 request on a connection of its own.
pub fn request(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let stream = TcpStream::connect(to).expect("the server listens");
    request_over(stream, to, method, path, headers)
}

/// The same with a body.
pub fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let stream = TcpStream::connect(to).expect("the server listens");
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &*length)]].concat();
    exchange(stream, to, method, path, &headers, body)
}

/// The same over a socket that was prepared by the caller.
pub fn request_over(
    stream: TcpStream,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    exchange(stream, to, method, path, headers, &[])
}

fn exchange(
    mut stream: TcpStream,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let host = to.to_string();
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !has("Host") {
        head += &format!("Host: {host}\r\n");
    }
    if !has("Connection") {
        head += "Connection: close\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let sent = [format!("{head}\r\n").as_bytes(), body].concat();
    stream.write_all(&sent).expect("the request is taken");
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match again(|| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => panic!("{method} {path}: {error}"),
        }
        // A granted upgrade stays open: its head is the whole answer.
        if bytes.starts_with(b"HTTP/1.1 101") && bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, rest) = bytes.split_at(head_end.expect("a complete response"));
    let (head, body) = (String::from_utf8_lossy(head), rest[4..].to_vec());
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Response {
        status: status.expect("a status line"),
        cookies: values(&head, "set-cookie"),
        head: head.to_lowercase(),
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body,
    }
}

/// The values of all headers of that name.
fn values(head: &str, name: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let ours = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    ours.map(|(_, value)| value.to_owned()).collect()
}
