//! Tests of the session and its seal, and sessions for tests of the router.

use super::*;

/// Access token of this role, which no key has signed.
pub(crate) fn token(role: &str) -> String {
    let claims = format!(r#"{{"sub":"user_01h455vb4pex5vsknk084sn02q","role":"{role}","exp":1}}"#);
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// Answer of users to a sign-in.
pub(crate) fn tokens(role: &str) -> AuthenticateResponse {
    AuthenticateResponse {
        access_token: token(role),
        token_type: "Bearer".to_owned(),
        expires_in: 900,
        refresh_token: "refresh".to_owned(),
    }
}

/// Session that began at this time.
pub(crate) fn session(now: Timestamp) -> Session {
    Session::begin(tokens("staff"), "grace@example.com", now).unwrap().unwrap()
}

/// Headers of a request with this `Set-Cookie`.
pub(crate) fn sent_back(set_cookie: &HeaderValue) -> HeaderMap {
    let pair = set_cookie.to_str().unwrap().split(';').next().unwrap();
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())])
}

const NOW: Timestamp = Timestamp::from_millis(1_796_117_400_000);

fn key() -> SealKey {
    SealKey::from_secret([7_u8; 32]).unwrap()
}

fn sealed(session: &Session) -> String {
    key().seal(serde_json::to_vec(session).unwrap()).unwrap()
}

fn opened(value: &str) -> Option<Session> {
    let headers = HeaderMap::from_iter([(
        COOKIE,
        HeaderValue::from_str(&format!("a=b; {COOKIE_NAME}={value}; c=d")).unwrap(),
    )]);
    Session::of(&headers, &key())
}

#[test]
fn a_sealed_session_is_opened_by_the_same_secret() {
    let session = session(NOW);
    let opened = opened(&sealed(&session)).unwrap();
    assert_eq!(opened.csrf(), session.csrf());
    assert_eq!(opened.access_token(), token("staff"));
    assert_eq!((opened.user(), opened.email()), ("user_01h455vb4pex5vsknk084sn02q", "grace@example.com"));
    assert!(!opened.is_admin());
}

#[test]
fn a_seal_shows_nothing_and_is_never_the_same() {
    let session = session(NOW);
    let (one, other) = (sealed(&session), sealed(&session));
    assert_ne!(one, other);
    let bytes = URL_SAFE_NO_PAD.decode(&one).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("refresh"));
}

#[test]
fn a_value_that_was_changed_anywhere_is_no_session() {
    let value = sealed(&session(NOW));
    let bytes = URL_SAFE_NO_PAD.decode(&value).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(opened(&URL_SAFE_NO_PAD.encode(changed)).is_none(), "byte {place}");
    }
}

#[test]
fn a_truncated_extended_or_foreign_value_is_no_session() {
    let value = sealed(&session(NOW));
    for length in 0..value.len() {
        assert!(opened(&value[..length]).is_none(), "{length} characters");
    }
    for other in [format!("{value}AAAA"), format!("{value}="), "A".repeat(5_000), "no base64!".to_owned()] {
        assert!(opened(&other).is_none(), "{other}");
    }
}

#[test]
fn another_key_opens_nothing() {
    let value = key().seal(b"x".to_vec()).unwrap();
    assert_eq!(key().open(&value).unwrap(), b"x");
    assert!(SealKey::from_secret([8_u8; 32]).unwrap().open(&value).is_none());
    assert!(SealKey::random().open(&value).is_none());
}

#[test]
fn a_value_of_another_version_is_not_opened() {
    let key = key();
    let mut bytes = b"x".to_vec();
    let nonce = Nonce::assume_unique_for_key([1; NONCE_LEN]);
    let version = Aad::from(b"__Host-oms-console v0");
    key.key().unwrap().seal_in_place_append_tag(nonce, version, &mut bytes).unwrap();
    let value = URL_SAFE_NO_PAD.encode([[1; NONCE_LEN].as_slice(), &bytes].concat());
    assert!(key.open(&value).is_none());
}

#[test]
fn a_short_secret_is_refused() {
    assert!(SealKey::from_secret("31 bytes, that is not enough...").is_err());
    assert!(SealKey::from_secret("32 bytes, and that is enough....").is_ok());
}

#[test]
fn a_session_ends_after_twelve_hours_without_use() {
    let begun = |ago: u64| session(NOW.before(Duration::from_millis(ago)));
    let is_idle = |ago| opened(&sealed(&begun(ago))).unwrap().is_idle(NOW);
    assert!(!is_idle(IDLE.as_millis() as u64 - 1));
    assert!(is_idle(IDLE.as_millis() as u64));
}

#[test]
fn a_use_is_noted_every_fifteen_minutes() {
    let session = session(NOW);
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    assert!(session.used(at(899)).is_none());
    assert_eq!(session.used(at(900)).unwrap().unused_for(at(901)), Duration::from_secs(1));
    let renewed = session.renewed(tokens("staff"), at(890)).unwrap();
    assert_eq!(renewed.unused_for(at(890)), Duration::ZERO);
    assert_eq!(renewed.last_used_as(&session).unused_for(at(890)), Duration::from_secs(890));
}

#[test]
fn a_token_ends_after_its_lifetime() {
    let session = session(NOW);
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    let minute = Duration::from_secs(60);
    assert!(!session.ends_within(minute, at(840)));
    assert!(session.ends_within(minute, at(841)));
    assert!(session.ends_within(minute, at(1_000)));
    assert!(!session.has_expired(at(899)));
    assert!(session.has_expired(at(900)));
}

#[test]
fn each_sign_in_has_another_token_for_forms() {
    let (one, other) = (session(NOW), session(NOW));
    assert_ne!(one.csrf(), other.csrf());
    assert_eq!(URL_SAFE_NO_PAD.decode(one.csrf()).unwrap().len(), CSRF_BYTES);
    assert_eq!(one.renewed(tokens("staff"), NOW).unwrap().csrf(), one.csrf());
}

#[test]
fn customers_have_no_session() {
    for role in ["customer", "owner", ""] {
        assert!(Session::begin(tokens(role), "ada@example.com", NOW).unwrap().is_none(), "{role}");
        assert!(session(NOW).renewed(tokens(role), NOW).is_none(), "{role}");
    }
    let admin = Session::begin(tokens("admin"), "admin@example.com", NOW).unwrap().unwrap();
    assert!(admin.is_admin());
}

#[test]
fn a_cookie_is_for_this_host_alone_and_not_for_scripts() {
    let set = session(NOW).cookie(&key()).unwrap();
    let set = set.to_str().unwrap();
    assert!(set.starts_with("__Host-oms-console="), "{set}");
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"]);
    assert!(set.len() < MAX_VALUE);
    let cleared = cleared();
    let expected = "__Host-oms-console=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
    assert_eq!(cleared.to_str().unwrap(), expected);
}
