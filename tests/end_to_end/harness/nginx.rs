//! A real nginx with the repository's own configuration: for TLS in front of one server, with a client
//! that speaks TLS to it; or in front of many. The nginx is gone when dropped.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;

use super::{
    PATIENCE, eventually,
    server::{Server, request},
};

/// The files that operators are told to use.
const TLS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/nginx-tls.conf"));
const MANY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/nginx.conf"));
const BELOW: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/nginx-path.conf"));
const PROXY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/nginx-proxy.conf"));

/// Where Debian puts it, which is not on everybody's path.
const NGINX: &str = "/usr/sbin/nginx";

/// A connection to nginx inside which TLS is spoken.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// One that speaks TLS.
pub struct Nginx {
    _process: Process,
    /// Where it speaks TLS, for `localhost`.
    pub address: SocketAddr,
    /// Where it speaks plain HTTP.
    pub plain: SocketAddr,
    roots: Arc<RootCertStore>,
}

impl Nginx {
    /// Starts one in front of `server`, with a certificate of its own making.
    pub fn start(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [address, plain] = free_addresses(Ipv4Addr::LOCALHOST);
        let roots = make_certificate(folder.path());
        let files = [
            ("site.conf", site(folder.path(), server, address, plain)),
            ("nginx-proxy.conf", PROXY.to_owned()),
            ("nginx.conf", main(folder.path())),
        ];
        Self { _process: Process::start(folder, &files, address), address, plain, roots }
    }

    /// The origin of pages that it serves.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Connects, offering `protocols` (ALPN), and shakes hands. The certificate is verified.
    pub fn connect(&self, protocols: &[&str]) -> TlsStream {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a legal name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("legal");
        let mut stream = TcpStream::connect(self.address).expect("nginx listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).expect("the handshake succeeds");
        }
        StreamOwned::new(connection, stream)
    }

    /// One HTTP/1.1 GET: head, lower-case, and the bytes of the body.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> (String, Vec<u8>) {
        let mut stream = self.connect(&["http/1.1"]);
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n", { self.address.port() });
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !request.contains("Connection: ") {
            request += "Connection: close\r\n";
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).expect("nginx takes a request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("nginx answers and ends properly");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let body = bytes.split_off(end + 4);
        if head.contains("transfer-encoding: chunked") {
            (head, dechunked(&body))
        } else {
            (head, body)
        }
    }
}

/// One in front of many nodes, with two worker processes.
pub struct Balancer {
    process: Process,
    /// Where players connect.
    pub address: SocketAddr,
}

impl Balancer {
    /// Starts one in front of `nodes`, which need not be there.
    pub fn start(nodes: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Not 127.0.0.1, where connections that others make take ports away.
        let [address] = free_addresses(Ipv4Addr::new(127, 0, 1, 1));
        let own = folder.path().display();
        let changed = [
            ("pid /run/nginx.pid;", format!("pid {own}/pid;")),
            ("worker_processes auto;", "worker_processes 2;".to_owned()),
            ("listen 8080 ", format!("listen {address} ")),
            ("http {\n", format!("http {{\n{}", temporary_folders(folder.path()))),
        ];
        let main = replaced("docker/nginx.conf", MANY, &changed);
        let files =
            [("nginx-proxy.conf", PROXY.to_owned()), ("nginx.conf", with_nodes(&main, nodes))];
        Self { process: Process::start(folder, &files, address), address }
    }

    /// How often it waited in vain for a node.
    pub fn waits_in_vain(&self) -> u64 {
        self.process.log().matches("upstream timed out").count() as u64
    }
}

/// One in the place of a Service of Kubernetes: it spreads connections over nodes, knows nothing of their health, and asks
/// nobody a second time.
pub struct Service {
    process: Process,
    /// Where players connect.
    pub address: SocketAddr,
    /// How often it was given nodes.
    turn: u32,
}

impl Service {
    /// Starts one that leads to `nodes`.
    pub fn start(nodes: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [address] = free_addresses(Ipv4Addr::new(127, 0, 1, 1));
        let config = spreading(folder.path(), address, nodes, 0);
        let process = Process::start(folder, &[("nginx.conf", config)], address);
        Self { process, address, turn: 0 }
    }

    /// Leads to these `nodes` from now on; connections that are open go on.
    pub fn lead_to(&mut self, nodes: &[SocketAddr]) {
        self.turn += 1;
        let folder = self.process.folder.path();
        let config = spreading(folder, self.address, nodes, self.turn);
        fs::write(folder.join("nginx.conf"), config).expect("a file can be written");
        let pid = self.process.child.id().to_string();
        let asked = Command::new("kill").args(["-HUP", &pid]).status().expect("kill can be run");
        assert!(asked.success(), "nginx is there");
        eventually("nginx with other nodes", || {
            let told = request(self.address, "GET", "/turn", &[]);
            (told.body == self.turn.to_string()).then_some(())
        });
    }
}

/// The configuration of a [`Service`]. Workers share one queue of connections, so that none is lost when others take over.
fn spreading(folder: &Path, address: SocketAddr, nodes: &[SocketAddr], turn: u32) -> String {
    let temporary = temporary_folders(folder);
    let servers: String = nodes.iter().map(|node| format!("server {node} max_fails=0; ")).collect();
    format!(
        "worker_processes 2;\nworker_shutdown_timeout 1m;\npid {}/pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 512; }}\nhttp {{\n{temporary}    access_log off;\n    \
         map $http_upgrade $to_node {{ default upgrade; \"\" \"\"; }}\n    \
         upstream billion {{ {servers} keepalive 8; }}\n    server {{\n    listen {address};\n    \
         location = /turn {{ return 200 {turn}; }}\n    location / {{\n    \
         proxy_next_upstream off;\n    proxy_http_version 1.1;\n    proxy_read_timeout 90s;\n    \
         proxy_set_header Host $http_host;\n    proxy_set_header Upgrade $http_upgrade;\n    \
         proxy_set_header Connection $to_node;\n    proxy_set_header X-Forwarded-For $remote_addr;\n    \
         proxy_pass http://billion;\n    }}\n    }}\n}}\n",
        folder.display()
    )
}

/// One that serves a site below whose path `/boxes` a server is, and nothing else.
pub struct Below {
    _process: Process,
    /// Where the site is.
    pub address: SocketAddr,
}

impl Below {
    /// Starts one in front of `server`, which is asked with the path, or without it if nginx `strips` it.
    pub fn start(server: &Server, strips: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [address] = free_addresses(Ipv4Addr::LOCALHOST);
        let node = |path: &str| format!("proxy_pass http://{}{path};", server.address);
        let mut below = BELOW.to_owned();
        for stripped in ["/", "/ws"] {
            let pass = node(if strips { stripped } else { "" });
            below = below.replacen("proxy_pass http://127.0.0.1:8080;", &pass, 1);
        }
        assert!(!below.contains("127.0.0.1:8080"), "docker/nginx-path.conf has changed");
        let site = format!("server {{\n    listen {address};\n    include path.conf;\n}}\n");
        let files =
            [("site.conf", site), ("path.conf", below), ("nginx.conf", main(folder.path()))];
        Self { _process: Process::start(folder, &files, address), address }
    }
}

/// The lines of the first node once for each of these, those of the others gone.
fn with_nodes(main: &str, nodes: &[SocketAddr]) -> String {
    let mut lines = Vec::new();
    for line in main.lines() {
        match line.split_once("server 172.28.1.") {
            None => lines.push(format!("{line}\n")),
            Some((indent, node)) => {
                let Some(rest) = node.strip_prefix("11:8080 ") else { continue };
                lines.extend(nodes.iter().map(|node| format!("{indent}server {node} {rest}\n")));
            }
        }
    }
    assert!(lines.len() > main.lines().count() - 6, "docker/nginx.conf has no such nodes");
    lines.concat()
}

/// A running nginx and its folder.
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts one with these files in its folder, `nginx.conf` among them, and waits until it listens.
    fn start(folder: TempDir, files: &[(&str, String)], address: SocketAddr) -> Self {
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("a file can be written");
        }
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        command.args(["-g", "daemon off;"]);
        let log = fs::File::create(folder.path().join("stderr.log")).expect("created");
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap_or_else(|error| {
            panic!(
                "cannot start {NGINX}: {error}; if it is not installed: apt-get install \
                 nginx-light, on Debian (cargo xtask test does that)"
            )
        });
        let mut process = Self { child, folder };
        eventually("nginx", || {
            let ended = process.child.try_wait().expect("a child can be asked");
            assert_eq!(ended, None, "nginx ended:\n{}", process.log());
            TcpStream::connect(address).ok()
        });
        process
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr.log")).expect("the log can be read")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked to end, a master takes its workers along; killed, it would leave them behind.
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + PATIENCE;
        while asked.as_ref().is_ok_and(ExitStatus::success)
            && Instant::now() < deadline
            && matches!(self.child.try_wait(), Ok(None))
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It has ended, unless something went wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("nginx said:\n{}", self.log());
        }
    }
}

/// A chunked body without its chunk sizes (RFC 9112 §7.1).
pub fn dechunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").expect("a chunk has a size");
        let size = std::str::from_utf8(&chunks[..end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}

/// Ports that were free a moment ago: nginx cannot tell which one it took.
fn free_addresses<const N: usize>(on: Ipv4Addr) -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((on, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

/// The repository's configuration with this test's names, ports and paths in it.
fn site(folder: &Path, server: &Server, address: SocketAddr, plain: SocketAddr) -> String {
    let folder = folder.display();
    let changed = [
        ("listen 80;", format!("listen {plain};")),
        ("listen 443 ssl http2;\n", format!("listen {address} ssl http2;\n")),
        ("server_name play.example.org;", "server_name localhost;".to_owned()),
        ("/etc/ssl/play.example.org/fullchain.pem", format!("{folder}/certificate.pem")),
        ("/etc/ssl/play.example.org/privkey.pem", format!("{folder}/key.pem")),
        ("server 127.0.0.1:8080 ", format!("server {} ", server.address)),
    ];
    replaced("docker/nginx-tls.conf", TLS, &changed)
}

fn replaced(file: &str, text: &str, changed: &[(&str, String)]) -> String {
    changed.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{file} has changed: no {from}");
        text.replace(from, to)
    })
}

/// What is around it: one process in the foreground, everything it writes in `folder`. `gzip` and
/// `mime.types` as on Debian, to see that the site's own settings win.
fn main(folder: &Path) -> String {
    let (folder, temporary) = (folder.display(), temporary_folders(folder));
    format!(
        "master_process off;\npid {folder}/pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 512; }}\nhttp {{\n{temporary}    access_log off;\n    \
         gzip on;\n    gzip_types *;\n    gzip_proxied any;\n    include {folder}/site.conf;\n}}\n"
    )
}

/// Where it would keep large bodies, which is made at start.
fn temporary_folders(folder: &Path) -> String {
    let line = |name: &str| format!("    {name}_temp_path {}/{name};\n", folder.display());
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(line).concat()
}

/// A certificate for `localhost` that signs itself, and the store that trusts it.
fn make_certificate(folder: &Path) -> Arc<RootCertStore> {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", "certificate.pem"]);
    let output = command.current_dir(folder).output().expect("openssl can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.expect("a certificate")).expect("a usable certificate");
    Arc::new(roots)
}
