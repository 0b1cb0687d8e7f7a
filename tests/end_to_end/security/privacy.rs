//! What `docs/PRIVACY.md` says is not kept.

use std::fs;

use crate::harness::{
    client::{Client, Told},
    origin::stream_from,
    server::{Setup, request},
};

/// An address that nothing else on this machine has.
const PLAYER: [u8; 4] = [127, 0, 0, 177];

/// Whoever plays leaves a bit, and nothing of whose it is.
#[test]
fn a_players_address_is_neither_logged_nor_counted_nor_stored() {
    let setup = Setup::new(1000, 1);
    let mut server = setup.start();
    let stream = stream_from(PLAYER.into(), server.address).expect("a loopback address");
    let mut client = Client::over(stream, server.address, "/ws?v=2");
    client.check(7);
    assert!(matches!(client.next(), Told::Update { id: 7, .. }));
    let sees = |text: &str| text.contains("127.0.0.177");
    let connections = request(server.admin, "GET", "/connections", &[]);
    assert!(sees(&connections.body), "while it is there, operators see it");
    assert!(!sees(&request(server.admin, "GET", "/metrics", &[]).body));
    drop(client);
    server.signal("-TERM");
    assert!(server.wait().success());
    assert!(!sees(&server.log()), "{}", server.log());
    let data = fs::read_dir(setup.folder().join("data")).expect("the store's folder");
    for entry in data {
        let path = entry.expect("it can be read").path();
        let bytes = fs::read(&path).expect("a file");
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!has(b"127.0.0.177") && !has(&PLAYER), "{}", path.display());
    }
}
