//! Signing keys that no function trusts.

use ring::rand::{SecureRandom as _, SystemRandom};
use shared::auth::Signer;
use shared::error::Error;
use shared::values::clock::Clock;
use users::tokens::KeyRing;

/// Creates keys for tokens that nobody accepts, and for code that asks for keys and signs nothing.
///
/// # Errors
/// If the machine gives no random numbers.
pub(crate) fn untrusted(clock: Clock) -> Result<KeyRing, Error> {
    let mut random = [0; 32];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Error::internal("the system gives no random numbers"))?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let signer = Signer::from_secret(&secret).map_err(Error::internal)?;
    Ok(KeyRing::fixed(signer, clock))
}
