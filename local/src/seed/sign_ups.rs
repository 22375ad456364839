//! Users: most of them are customers, a few are staff.

use rand::Rng as _;
use rand::rngs::StdRng;
use shared::auth::Role;
use shared::values::address::Address;
use shared::values::clock::Timestamp;
use shared::values::email::Email;
use shared::values::ids::UserId;
use users::user::{Status, User};

use super::random::{DAY, between, id, mark, one_of, percent};
use crate::error::CommandError;

const FIRST: [&str; 24] = [
    "Ada",
    "Alan",
    "Amélie",
    "Annie",
    "Barbara",
    "Dennis",
    "Donald",
    "Edsger",
    "Elif",
    "Frances",
    "Grace",
    "Hedy",
    "İbrahim",
    "Jean",
    "João",
    "Katherine",
    "Ken",
    "Linus",
    "Margaret",
    "Niklaus",
    "Radia",
    "Sofía",
    "Søren",
    "Yukihiro",
];

const LAST: [&str; 24] = [
    "Allen",
    "Backus",
    "Bartik",
    "Dijkstra",
    "Easley",
    "Günther",
    "Hamilton",
    "Hopper",
    "Johnson",
    "Kay",
    "Knuth",
    "Lamarr",
    "Liskov",
    "Lovelace",
    "Matsumoto",
    "Müller",
    "Nygård",
    "Perlman",
    "Ritchie",
    "Santos",
    "Thompson",
    "Turing",
    "Wirth",
    "Yılmaz",
];

/// Cities, the beginnings of their postal codes, and their countries.
const CITIES: [(&str, &str, &str); 12] = [
    ("London", "EC1A 1A", "GB"),
    ("Manchester", "M1 1A", "GB"),
    ("Bonn", "5311", "DE"),
    ("Köln", "5066", "DE"),
    ("Lyon", "6900", "FR"),
    ("Wien", "101", "AT"),
    ("Zürich", "800", "CH"),
    ("Utrecht", "351", "NL"),
    ("Lisboa", "1100-00", "PT"),
    ("New York", "1000", "US"),
    ("Portland", "9720", "US"),
    ("京都市", "600-800", "JP"),
];

const STREETS: [&str; 8] = [
    "Analytical Way",
    "Bakery Lane",
    "Harbour Street",
    "Hauptstraße",
    "High Street",
    "Market Square",
    "Rue de la Gare",
    "Station Road",
];

/// Draws this number of users, all created before any order was placed.
pub(super) fn draw(count: usize, now: Timestamp, rng: &mut StdRng) -> Result<Vec<User>, CommandError> {
    let (first, last) = (now.before(DAY * 1_095), now.before(DAY * 731));
    (0..count)
        .map(|_| {
            let at = between(first, last, rng);
            let (given, family) = (one_of(&FIRST, rng).unwrap_or("Ada"), one_of(&LAST, rng).unwrap_or("Kay"));
            let ascii = |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect::<String>();
            let email = format!("{}.{}.{}@example.com", ascii(given), ascii(family), mark(rng));
            Ok(User {
                id: UserId::from_uuid(id(at, rng)),
                email: Email::parse(email).map_err(CommandError::new)?,
                name: format!("{given} {family}"),
                phone: percent(40, rng).then(|| format!("+44 20 7946 {:04}", rng.random_range(0..10_000))),
                address: percent(70, rng).then(|| address(rng)),
                role: if percent(2, rng) { Role::Staff } else { Role::Customer },
                status: if percent(4, rng) { Status::Disabled } else { Status::Active },
                version: 1,
                created_at: at,
                updated_at: at,
            })
        })
        .collect()
}

/// Draws an address.
pub(super) fn address(rng: &mut StdRng) -> Address {
    let (city, code, country) = one_of(&CITIES, rng).unwrap_or(("London", "EC1A 1A", "GB"));
    let street = one_of(&STREETS, rng).unwrap_or("High Street");
    Address {
        name: None,
        company: None,
        phone: None,
        line1: format!("{} {street}", rng.random_range(1..200)),
        line2: percent(20, rng).then(|| format!("Flat {}", rng.random_range(1..40))),
        city: city.to_owned(),
        region: None,
        postal_code: Some(format!("{code}{}", rng.random_range(0..10))),
        country: country.to_owned(),
    }
}
