//! What bad input gets: every row of the protocol's table, over a real socket, with its code; and
//! that nobody else notices and nothing is written.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use crate::harness::{
    PATIENCE,
    client::{Client, Told, handshake},
    eventually,
    server::{Server, Setup, request},
};
use crate::slow_clients::stalling_client;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A masked frame with `first` as its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// How the server ends a connection that sends these bytes.
fn fate(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut client = server.client();
    client.send_raw(bytes);
    client.closed()
}

#[test]
fn every_violation_is_closed_with_its_code_and_nobody_else_notices() {
    let server = Setup::new(250_000, 2).with("SESSION__MESSAGE_BYTES", 1000).start();
    let mut bystander = server.client();
    let many: Vec<u8> =
        [frame(0x02, b"")].into_iter().chain((0..20).map(|_| frame(0, b""))).flatten().collect();
    let header_only = |length: u64| {
        let mut bytes = vec![0x82, 0x80 | 127];
        bytes.extend(length.to_be_bytes());
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("an unmasked frame", vec![0x82, 4, 1, 0, 0, 0], 1002, "unmasked frame"),
        ("reserved bit 1", frame(0xC2, &[1, 0, 0, 0]), 1002, "reserved bits"),
        ("reserved bit 3", frame(0x92, &[1, 0, 0, 0]), 1002, "reserved bits"),
        ("reserved opcode 3", frame(0x83, b""), 1002, "reserved opcode"),
        ("reserved opcode 15", frame(0x8F, b""), 1002, "reserved opcode"),
        ("a continuation of nothing", frame(0x80, b""), 1002, "bad fragmentation"),
        ("a fragmented ping", frame(0x09, b""), 1002, "bad fragmentation"),
        (
            "a message inside a message",
            [frame(0x02, &[1]), frame(0x82, &[1])].concat(),
            1002,
            "bad fragmentation",
        ),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), 1002, "control frame too long"),
        ("a close of one byte", frame(0x88, &[3]), 1002, "bad close payload"),
        ("a close with code 1005", frame(0x88, &[3, 0xED]), 1002, "bad close payload"),
        ("a length with its highest bit", header_only(1 << 63), 1002, "bad length encoding"),
        ("a length in too long a form", header_only(8), 1002, "bad length encoding"),
        ("text, from its first byte", vec![0x81], 1003, "text not accepted"),
        ("text that is no UTF-8", frame(0x81, &[0xFF]), 1003, "text not accepted"),
        ("a close reason that is no UTF-8", frame(0x88, &[3, 0xE8, 0xFF]), 1007, "not UTF-8"),
        ("an empty message", frame(0x82, b""), 1008, "message length"),
        ("five bytes", frame(0x82, &[0; 5]), 1008, "message length"),
        ("twelve bytes", frame(0x82, &[1; 12]), 1008, "message length"),
        ("box 0", frame(0x82, &words(&[0])), 1008, "box id out of range"),
        ("a box past the end", frame(0x82, &words(&[250_001])), 1008, "box id out of range"),
        ("a range from 0", frame(0x82, &words(&[0, 1])), 1008, "box id out of range"),
        ("a range past the end", frame(0x82, &words(&[1, 250_001])), 1008, "box id out of range"),
        ("a reversed range", frame(0x82, &words(&[2, 1])), 1008, "range reversed"),
        ("too long a range", frame(0x82, &words(&[1, 100_001])), 1008, "range too long"),
        ("1,001 bytes", frame(0x82, &[0; 1001]), 1009, "message too big"),
        ("a header that declares 2^62 bytes", header_only(1 << 62), 1009, "message too big"),
        (
            "fragments that add up",
            [frame(0x02, &[0; 600]), frame(0x80, &[0; 600])].concat(),
            1009,
            "message too big",
        ),
        ("too many fragments", many, 1009, "too many fragments"),
    ];
    for (what, bytes, code, reason) in &cases {
        assert_eq!(fate(&server, bytes), (*code, (*reason).to_owned()), "{what}");
    }
    // What stands before the violation counts, what stands behind it does not.
    let mixed = [frame(0x82, &words(&[7])), frame(0x83, b""), frame(0x82, &words(&[8]))].concat();
    assert_eq!(fate(&server, &mixed).0, 1002);
    assert_eq!(bystander.next(), Told::Update { total: 1, id: 7 });
    assert_eq!(bystander.range(1, 250_000 / 3, &mut vec![]), [7]);
    eventually("one connection left", || {
        (server.metric("billion_connections ") == 1.0).then_some(())
    });
    assert_eq!(server.metric("billion_panics_total "), 0.0);
}

#[test]
fn a_huge_declared_length_is_not_buffered() {
    let server = Setup::new(1000, 1).start();
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    let before = server.resident();
    for client in &mut clients {
        let mut bytes = vec![0x82, 0x80 | 127];
        bytes.extend((1_u64 << 40).to_be_bytes());
        client.send_raw(&bytes);
        // As much as the server takes before it resets the connection.
        let mut stream = client.stream();
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        for _ in 0..64 {
            if stream.write_all(&[0; 64 * 1024]).is_err() {
                break;
            }
        }
    }
    let after = server.resident();
    assert!(after < before + 8 * 1024 * 1024, "{before} bytes became {after}");
}

#[test]
fn the_closing_handshake_is_answered_with_the_same_code() {
    let server = Setup::new(1000, 1).start();
    for (payload, code) in
        [(vec![], 1005), (vec![0x03, 0xE8], 1000), (vec![0x0F, 0xA0, b'!'], 4000)]
    {
        let mut client = server.client();
        client.send_raw(&frame(0x88, &payload));
        assert_eq!(client.closed().0, code);
    }
}

#[test]
fn fragments_and_pings_between_them_are_legal() {
    let server = Setup::new(1000, 1).start();
    let mut client = server.client();
    let id = words(&[513]);
    for part in [frame(0x02, &id[..1]), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, &id[1..])]
    {
        for byte in part {
            client.send_raw(&[byte]);
        }
    }
    assert_eq!(client.next(), Told::Update { total: 1, id: 513 });
}

#[test]
fn bad_handshakes_are_http_errors() {
    let server = Setup::new(1000, 1).start();
    let own = format!("http://{}", server.address);
    let good = handshake(&own);
    let with = |name: &str, value: Option<&'static str>| {
        let mut headers: Vec<_> =
            good.iter().copied().filter(|(known, _)| *known != name).collect();
        if let Some(value) = value {
            headers.push((
                good.iter().find(|(known, _)| *known == name).expect("a known header").0,
                value,
            ));
        }
        request(server.address, "GET", "/ws", &headers)
    };
    assert_eq!(request(server.address, "GET", "/ws", &good).status, 101);
    assert_eq!(with("Origin", None).status, 403);
    assert_eq!(with("Origin", Some("http://evil.example")).status, 403);
    assert_eq!(with("Origin", Some("null")).status, 403);
    assert_eq!(with("Upgrade", None).status, 426);
    assert_eq!(with("Upgrade", Some("h2c")).status, 426);
    assert_eq!(with("Sec-WebSocket-Version", None).status, 400);
    for version in ["7", "8", "12"] {
        let answer = with("Sec-WebSocket-Version", Some(version));
        assert_eq!(answer.status, 426);
        assert!(answer.head.contains("sec-websocket-version: 13"));
    }
    assert_eq!(with("Sec-WebSocket-Key", None).status, 400);
    assert_eq!(with("Sec-WebSocket-Key", Some("c2hvcnQ=")).status, 400);
    assert_eq!(with("Connection", Some("close")).status, 400);
    assert_eq!(request(server.address, "POST", "/ws", &good).status, 405);
    assert_eq!(request(server.address, "GET", "/ws?v=9", &good).status, 400);
    assert_eq!(request(server.address, "GET", "/ws", &[]).status, 426);
    assert_eq!(request(server.address, "GET", "/", &[("Upgrade", "h2c")]).status, 200);
    eventually("no connection left", || {
        (server.metric("billion_connections ") == 0.0).then_some(())
    });
}

#[test]
fn a_full_house_says_when_to_come_back() {
    let setup = Setup::new(1000, 1).with("SERVER__MAX_CONNECTIONS", 3);
    let setup = setup.without("LIMITS__ADDRESS");
    let server = setup.with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 2).start();
    let own = format!("http://{}", server.address);
    let knock = || request(server.address, "GET", "/ws", &handshake(&own));
    let (first, _second) = (server.client(), server.client());
    let refused = knock();
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    drop(first);
    eventually("room again", || (knock().status == 101).then_some(()));
}

#[test]
fn over_the_rate_plain_waits_and_v2_is_refused() {
    let setup = Setup::new(1000, 1).with("LIMITER__LIMIT", 20).with("LIMITER__BURST", 5);
    let server = setup.start();
    let (mut plain, mut scoped) = (server.client(), server.client_v2());
    let began = std::time::Instant::now();
    for id in 1..=25 {
        plain.check(id);
    }
    for id in 1..=25 {
        assert!(matches!(plain.next(), Told::Update { id: told, .. } if told == id));
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(950), "20 of 25 waited for a token each: {took:?}");
    let began = std::time::Instant::now();
    for id in 101..=125 {
        scoped.check(id);
    }
    let (mut taken, mut refused) = (0, 0);
    while taken + refused < 25 {
        match scoped.next() {
            Told::Update { .. } => taken += 1,
            Told::Refused { reason: 4, .. } => refused += 1,
            Told::Total(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    let grown = (20. * began.elapsed().as_secs_f64()) as u32 + 1;
    assert!((5..=5 + grown).contains(&taken), "the burst, and {grown} meanwhile at most: {taken}");
}

#[test]
fn a_wait_of_more_than_five_seconds_is_not_worth_a_connection() {
    let setup = Setup::new(1000, 1).with("LIMITER__LIMIT", 0.1).with("LIMITER__BURST", 1);
    let server = setup.start();
    let mut plain = server.client();
    plain.check(1);
    plain.check(2);
    assert_eq!(plain.closed(), (1008, "rate limit".to_owned()));
}

#[test]
fn silence_is_ended_and_pongs_are_not_silence() {
    let setup = Setup::new(1000, 1).with("SESSION__PING_INTERVAL_S", 1);
    let server = setup.with("SESSION__IDLE_TIMEOUT_S", 3).start();
    let mut talker = server.client();
    let silent = server.client();
    // A client that reads answers pings by itself; one that does not falls silent.
    assert_eq!(talker.next_within(Duration::from_secs(6)), None, "pinged and kept");
    let mut stream = silent.stream();
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the server ended it");
    let close = [&[0x88, 9, 0x03, 0xE9][..], b"timeout"].concat();
    assert!(said.ends_with(&close), "{said:x?}");
    talker.check(1);
    assert_eq!(talker.next(), Told::Update { total: 1, id: 1 });
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let server = Setup::new(1000, 1).start();
    for _ in 0..50 {
        let mut client = server.client();
        client.check(3);
        client.stream().shutdown(Shutdown::Both).expect("it can be cut");
    }
    let idle = TcpStream::connect(server.address).expect("the server listens");
    drop(idle);
    eventually("no connection left", || {
        (server.metric("billion_connections ") == 0.0).then_some(())
    });
}

/// Answers that were written made room for reading, but nobody looked at the socket again.
#[test]
fn more_ranges_than_may_be_outstanding_are_all_answered() {
    let server = Setup::new(1000, 1).start();
    for round in 0..50 {
        let mut client = if round % 2 == 0 { server.client() } else { server.client_v2() };
        let ask = frame(0x82, &words(&[1, 8]));
        client.send_raw(&ask.repeat(40));
        for _ in 0..40 {
            let answer = client.next_within(Duration::from_secs(5));
            assert!(matches!(answer, Some(Told::Range { .. })), "round {round}: {answer:?}");
        }
    }
}

/// An empty pong counts two bytes and costs fifty: the outbox weighs the cost.
#[test]
fn pings_whose_answers_nobody_reads_cost_little_memory() {
    let server = Setup::new(1000, 1).start();
    let clients: Vec<Client> = (0..10).map(|_| stalling_client(&server, "/ws")).collect();
    let before = server.resident();
    let pings = frame(0x89, b"").repeat(10_000);
    for client in &clients {
        let mut stream = client.stream();
        stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
        // Until nothing is read any more and the kernel's buffers are full.
        let blocked = (0..500).any(|_| stream.write_all(&pings).is_err());
        assert!(blocked, "the server goes on reading from a client that does not");
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 10 * 3 * 1024 * 1024, "10 clients cost {grown} bytes");
}
