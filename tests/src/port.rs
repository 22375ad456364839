//! A port for a server that is to start later: free now, and given to nobody else in between.

use std::net::TcpListener;

use uuid::Uuid;

/// Below where systems take the ports that they hand out themselves: those are given to whoever asks next, and
/// connections have them too.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A free port.
pub fn free() -> u16 {
    loop {
        let [.., one, other] = *Uuid::new_v4().as_bytes();
        let port = FIRST + u16::from_be_bytes([one, other]) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
