//! `billion health`: asks a running server whether it is ready, for supervisors and containers that
//! have no HTTP client. Opens no store and starts nothing.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueHint};
use hyper::StatusCode;

use super::{BAD_SETTINGS, complain, remote::Remote, say};
use crate::{
    arguments::SettingsArguments,
    settings::{self, Settings},
};

/// Longest time a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a running server whether it is ready: exit code 0 if it is, 1 if not.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where its admin listener is [default: admin.address of the settings]
    #[arg(long, value_name = "HOST:PORT", value_parser = address, value_hint = ValueHint::Other)]
    address: Option<String>,
    /// Count a store that takes no checks as not ready, too
    #[arg(long)]
    store: bool,
}

fn address(text: &str) -> Result<String, String> {
    settings::host_and_port(text).map(|_| text.to_owned())
}

/// Asks. 0: ready; 1: not ready, or no answer; 2: the settings are wrong. (A wrong address on the
/// command line is found while that is parsed, and is 2 as well.)
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    let address = match &arguments.address {
        Some(address) => address.clone(),
        None => match Settings::load(&settings.sources()).settings {
            Ok(settings) => settings.admin.address,
            Err(problems) => {
                for problem in problems.0 {
                    complain(problem);
                }
                return ExitCode::from(BAD_SETTINGS);
            }
        },
    };
    match ask(&address, arguments.store) {
        Ok(readiness) => say(format!("{readiness}\n").as_bytes()),
        Err(failure) => {
            complain(format_args!("{failure:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What `/readyz` at `address` says, if that is that it is ready.
fn ask(address: &str, store: bool) -> Result<String> {
    let resolved = settings::resolve(address)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("no answer from {address}"))?;
    let to = *resolved.first().context("an address resolves to something")?;
    ensure!(to.port() != 0, "admin.address is any free port: name the one it took with --address");
    let path = if store { "/readyz?store=1" } else { "/readyz" };
    let (status, body) = Remote::to(to)?
        .ask_briefly(path, PATIENCE)
        .with_context(|| format!("no answer from {to}"))?;
    let body = match body.trim() {
        page if page.starts_with('<') => "a page for people: is that its admin.address?",
        body => body,
    };
    if status != StatusCode::OK {
        bail!("not ready ({}): {body}", status.as_u16());
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Who asks, and for what. All of it is read: an answer before it would be one to nothing, and closing with a part
    /// unread would reset the connection.
    fn asked_for(listener: &TcpListener) -> (TcpStream, String) {
        let (mut stream, _) = listener.accept().expect("it is asked");
        let (mut request, mut buffer) = (String::new(), [0; 1024]);
        while !request.ends_with("\r\n\r\n") {
            let read = stream.read(&mut buffer).expect("a request");
            request += &String::from_utf8_lossy(&buffer[..read]);
        }
        (stream, request)
    }

    /// A server that says `answer` to one request: what it was asked, and what `ask` made of it.
    fn asked(answer: &'static str, store: bool) -> (String, Result<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, request) = asked_for(&listener);
            stream.write_all(answer.as_bytes()).expect("it listens");
            request
        });
        let said = ask(&address, store);
        (server.join().expect("the server ends"), said)
    }

    #[test]
    fn ready_is_told_from_not_ready_and_from_nonsense() {
        let (request, said) = asked("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"ready\":true}\n", false);
        assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
        assert_eq!(said.expect("ready"), "{\"ready\":true}");
        let (request, said) = asked("HTTP/1.1 503 Service Unavailable\r\n\r\nbusy dying", true);
        assert!(request.starts_with("GET /readyz?store=1 "), "{request}");
        assert_eq!(said.expect_err("unready").to_string(), "not ready (503): busy dying");
        let (_, said) = asked("HTTP/1.1 404 Not Found\r\n\r\n<!DOCTYPE HTML>\n<html>", false);
        let failure = said.expect_err("somebody else").to_string();
        assert_eq!(failure, "not ready (404): a page for people: is that its admin.address?");
        let (_, said) = asked("SSH-2.0-OpenSSH\r\n", false);
        let failure = format!("{:#}", said.expect_err("not HTTP"));
        assert!(failure.contains("no HTTP response"), "{failure}");
    }

    #[test]
    fn an_answer_without_an_end_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = std::thread::spawn(move || {
            Remote::to(address)?.ask_briefly("/readyz", Duration::from_millis(200))
        });
        let (mut stream, _) = asked_for(&listener);
        // Open until it has given up.
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"ready\":").expect("it listens");
        let failure = asked.join().expect("it gives up").expect_err("half an answer").to_string();
        assert!(failure.contains("longer than 200"), "{failure}");
    }

    /// As servers of SSH and of databases do.
    #[test]
    fn who_speaks_before_it_is_asked_is_told_as_no_http_server() {
        // It depends on the moment whether the request is already on its way.
        for _ in 0..20 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound").to_string();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("it is asked");
                stream.write_all(b"SSH-2.0-OpenSSH\r\n").expect("it listens");
                // Until it has gone.
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let failure = format!("{:#}", ask(&address, false).expect_err("not HTTP"));
            let told = ["the answer is no HTTP response", "no HTTP server does"];
            assert!(told.iter().any(|told| failure.contains(told)), "{failure}");
            server.join().expect("the server ends");
        }
    }

    #[test]
    fn nobody_there_is_told_with_the_address() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let free = free.expect("a free port").to_string();
        let failure = format!("{:#}", ask(&free, false).expect_err("nobody listens"));
        assert!(failure.contains(&free) && failure.contains("refused"), "{failure}");
        let failure = ask("127.0.0.1:0", false).expect_err("no port").to_string();
        assert!(failure.contains("--address"), "{failure}");
    }
}
