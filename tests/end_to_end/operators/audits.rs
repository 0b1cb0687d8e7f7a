//! The audit: a line for every change, of whoever made it, whatever becomes of the server.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{audit, change};
use crate::harness::{
    person::Person,
    server::{Server, Setup, request, send},
};

/// What shows what players do, or write.
const SHOWING: [&str; 2] = ["/trace/{connection}", "/ws/history"];

/// Every method of the API that changes something or shows what players do.
fn to_be_audited(file: &Value) -> BTreeSet<(String, String)> {
    let paths = file["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, operations)| {
        let methods = operations.as_object().expect("operations").keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.filter(|(method, path)| method != "GET" || SHOWING.contains(&&**path)).collect()
}

/// The id of a report of what somebody has written.
fn reported(writer: &Person, server: &Server) -> String {
    let mut reader = Person::new(server.address);
    let address = format!("user:{}", reader.user());
    let (mut writer, mut reader) = (writer.connect("/ws?v=2"), reader.connect("/ws?v=2"));
    writer.say(&json!({ "type": "message", "to": address, "id": "a", "data": {} }));
    assert_eq!(reader.text()["id"], "a");
    let data = json!({ "message": "a", "reason": "spam" });
    reader.say(&json!({ "type": "report", "to": address, "data": data }));
    assert_eq!(reader.text()["type"], "reported");
    let reports = change(server, "GET", "/reports", &Value::Null).1;
    reports["reports"][0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn every_change_has_its_line_which_survives_a_crash() {
    let setup = Setup::new(1000, 1);
    let mut server = setup.start();
    let _client = server.client_v2();
    let connections = change(&server, "GET", "/connections", &Value::Null).1;
    let id = connections["connections"][0]["id"].as_str().expect("text").to_owned();
    let (mut person, path) = (Person::new(server.address), "/me/register");
    let ann = json!({ "name": "Ann", "password": "a long password" });
    assert_eq!(person.post(path, &ann).status, 200);
    let user = person.user();
    let copy = setup.folder().join("copy.bxb").display().to_string();
    let from = format!("http://{}", server.admin);
    let ran = Setup::bare().run(&["export", "--from", &from, &copy]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let mut left = to_be_audited(&change(&server, "GET", "/openapi.json", &Value::Null).1);
    let mut done = |method: &str, path: &str| {
        assert!(left.remove(&(method.to_owned(), path.to_owned())), "{method} {path}");
    };

    let report = reported(&person, &server);
    for (method, path, body) in [
        ("POST", "/board/read-only", json!({ "reason": "move" })),
        ("DELETE", "/board/read-only", Value::Null),
        ("POST", "/blocks", json!({ "network": "192.0.2.0/24" })),
        ("POST", "/ws/broadcast", json!({ "text": "soon" })),
        ("DELETE", "/ws/broadcast", Value::Null),
        ("POST", "/ws/message", json!({ "connection": id, "text": "hello" })),
        ("POST", "/ws/disconnect", json!({ "user": user })),
        ("POST", "/people/bans", json!({ "user": user })),
    ] {
        let (status, answer) = change(&server, method, path, &body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        done(method, path);
    }
    assert_eq!(
        change(&server, "DELETE", &format!("/people/bans?user={user}"), &Value::Null).0,
        200
    );
    done("DELETE", "/people/bans");
    let (status, room) =
        change(&server, "POST", "/rooms", &json!({ "name": "Den", "maker": user }));
    assert_eq!(status, 200, "{room}");
    done("POST", "/rooms");
    let close = format!("/reports/{report}/close");
    assert_eq!(change(&server, "POST", &close, &Value::Null).0, 200);
    done("POST", "/reports/{id}/close");
    let members = format!("/rooms/{}/members", room["id"].as_str().expect("an id"));
    let other = json!({ "user": "00abcdef01234567" });
    assert_eq!(change(&server, "POST", &members, &other).0, 200);
    done("POST", "/rooms/{id}/members");
    assert_eq!(change(&server, "DELETE", &format!("{members}?user={user}"), &Value::Null).0, 200);
    done("DELETE", "/rooms/{id}/members");
    assert_eq!(change(&server, "DELETE", "/blocks?network=192.0.2.0/24", &Value::Null).0, 200);
    done("DELETE", "/blocks");
    let traced = request(server.admin, "GET", &format!("/trace/{id}?for_s=1"), &[]);
    assert_eq!(traced.status, 200);
    done("GET", "/trace/{connection}");
    assert_eq!(change(&server, "DELETE", &format!("/connections/{id}"), &Value::Null).0, 200);
    done("DELETE", "/connections/{id}");
    let backup = fs::read(&copy).expect("the copy");
    let media = [("Content-Type", "application/x-billion-backup")];
    let imported = send(server.admin, "POST", "/import", &media, &backup);
    assert!(imported.status == 200 && imported.body.contains("done"), "{}", imported.body);
    done("POST", "/import");
    assert_eq!(change(&server, "GET", "/ws/history?group=tile:0", &Value::Null).0, 200);
    done("GET", "/ws/history");
    assert!(left.is_empty(), "not tried: {left:?}");

    server.kill();
    let server = setup.start();
    assert_eq!(
        audit(&server),
        [
            "board.read_only",
            "board.writable",
            "block",
            "notice",
            "notice.end",
            "message",
            "user.end",
            "ban",
            "unban",
            "room",
            "report.close",
            "room.add",
            "room.remove",
            "unblock",
            "trace",
            "connection.end",
            "board.import",
            "history",
        ]
    );
    let lines = change(&server, "GET", "/audit", &Value::Null).1;
    for line in lines["lines"].as_array().expect("a list") {
        let has = |key: &str| !line[key].is_null();
        assert!(has("at_ms") && line["by"] == "loopback" && has("role") && has("from"), "{line}");
    }
}
