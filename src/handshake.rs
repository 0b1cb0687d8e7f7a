//! What a WebSocket handshake must be (RFC 6455 §4.2.1). actix-http checks it in part only.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{Version as HttpVersion, header},
};

/// Marks requests that came through the upgrade service, whose socket can be taken over.
pub struct Upgradable;

/// The first line of a header that is text.
pub fn header(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// RFC 6455 §4.2.1, which actix-http checks only in part: it accepts versions 7 and 8, keys of any length
/// and HTTP/1.0, and looks at no more than one line of `Upgrade`.
pub fn check_handshake(request: &HttpRequest) -> Result<(), HttpResponse> {
    let upgrade_required = || {
        HttpResponse::UpgradeRequired()
            .insert_header((header::UPGRADE, "websocket"))
            .insert_header((header::CONNECTION, "Upgrade"))
            .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
            .body("this address speaks WebSocket, version 13\n")
    };
    let bad = |what: &'static str| Err(HttpResponse::BadRequest().body(what));
    let has_token = |name, token: &str| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    if !has_token(header::UPGRADE, "websocket") {
        return Err(upgrade_required());
    }
    if request.version() != HttpVersion::HTTP_11 || !has_token(header::CONNECTION, "upgrade") {
        return bad("a WebSocket handshake is HTTP/1.1 with Connection: Upgrade\n");
    }
    match header(request, header::SEC_WEBSOCKET_VERSION) {
        None => return bad("Sec-WebSocket-Version is missing\n"),
        Some("13") => {}
        Some(_) => return Err(upgrade_required()),
    }
    let keys = request.headers().get_all(header::SEC_WEBSOCKET_KEY).count();
    let key = header(request, header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    if keys != 1 || !is_key(key) {
        return bad("Sec-WebSocket-Key must be 16 bytes in base64\n");
    }
    if !request.extensions().contains::<Upgradable>() {
        return bad("this request cannot be upgraded\n");
    }
    Ok(())
}

/// 16 bytes in base64: 22 characters and two of padding.
fn is_key(key: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    key.len() == 24 && key.ends_with("==") && key.as_bytes()[..22].iter().copied().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_sixteen_bytes_are_keys() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in ["", "abc", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ!=="] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
