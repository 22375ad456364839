//! The use cases around sessions: who signs in, who goes on, who ends, and what tells good tokens from bad ones.
//!
//! A session is a family of refresh tokens, and the access tokens that come with them. It ends by itself, by signing
//! out, when a spent refresh token is shown again, and with the user's epoch, which rises in the same write that
//! changes a password, a role or a status, or deletes the user.

use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use shared::auth::revocation::REVOCATION_TTL;
use shared::auth::{ACCESS_TOKEN_LIFETIME, Epoch, KeySource, PublicKey, TrustedKeys};
use shared::error::{Error, Kind};
use shared::runtime::context::Context;

use super::UserService;
use crate::credentials::{self, Password};
use crate::forms::SignIn;
use crate::refresh_token::RefreshToken;
use crate::store::StoredUser;
use crate::user::{Status, User};

/// What a user gets who signs in.
#[derive(Debug)]
pub struct Session {
    /// A JWT.
    pub access_token: String,
    /// Seconds.
    pub expires_in: i64,
    /// Good once.
    pub refresh_token: String,
}

impl UserService {
    /// Trades an e-mail address and a password for an access token and a refresh token.
    ///
    /// # Errors
    /// The same 401 after the same work for an unknown address, a wrong password and a disabled user; 429 after too
    /// many of them.
    pub async fn authenticate(&self, sign_in: SignIn) -> Result<Session, Error> {
        let SignIn { email, password } = sign_in;
        let (turn, stored) =
            futures::try_join!(self.limits.attempt(&email), self.store.find_by_email(&email))?;
        let hash = stored.as_ref().map(|stored| stored.hash.clone());
        let matches = credentials::verify(turn, password.clone(), hash).await?;
        let stored = stored.filter(|stored| matches && stored.user.status == Status::Active);
        let Some(stored) = stored else {
            return Err(Error::new(
                Kind::Unauthenticated,
                "The e-mail address or the password is wrong, or the user is disabled.",
            ));
        };
        let token = RefreshToken::first()?;
        let begin = self.store.sessions().begin(&token, stored.user.id, stored.epoch, self.clock.now());
        futures::try_join!(
            begin,
            self.limits.succeeded(&email),
            self.keep_hash_up_to_date(&stored, password)
        )?;
        self.session(&stored.user, stored.epoch, &token).await
    }

    /// Hashes a password anew that was hashed with less work than passwords are now.
    async fn keep_hash_up_to_date(&self, stored: &StoredUser, password: Password) -> Result<(), Error> {
        if stored.hash.is_outdated() {
            let hash = credentials::hash(password).await?;
            self.store.rehash(stored, &hash).await?;
        }
        Ok(())
    }

    /// Trades a refresh token, which is spent by that, for a new pair.
    ///
    /// # Errors
    /// 401 for a token that is not good; if it was spent before, its session has ended now. We cannot know whether it
    /// was a thief who was here first, or an honest client whose answer got lost or who asked twice at once: either
    /// has to sign in again.
    pub async fn refresh(&self, token: &str) -> Result<Session, Error> {
        let not_good = || {
            let detail = "The refresh token is not good: it may have expired, been used before, or ended. Sign in \
                          with POST /auth.";
            Error::new(Kind::Unauthenticated, detail)
        };
        let token = RefreshToken::parse(token).ok_or_else(not_good)?;
        let next = token.next()?;
        let rotated = self.store.sessions().rotate(&token, &next, self.clock.now()).await?;
        let rotated = rotated.ok_or_else(not_good)?;
        let stored = self.store.find(rotated.user).await?;
        let lives =
            |stored: &StoredUser| stored.user.status == Status::Active && stored.epoch == rotated.epoch;
        match stored.filter(lives) {
            Some(stored) => self.session(&stored.user, stored.epoch, &next).await,
            None => {
                self.store.sessions().end(token.family()).await?;
                Err(not_good())
            }
        }
    }

    /// Ends the session of a refresh token, spent or not. One that nobody knows is as good as ended.
    ///
    /// # Errors
    /// 503 when that cannot be noted.
    pub async fn sign_out(&self, token: &str) -> Result<(), Error> {
        match RefreshToken::parse(token) {
            Some(token) => self.store.sessions().end(token.family()).await,
            None => Ok(()),
        }
    }

    async fn session(&self, user: &User, epoch: Epoch, token: &RefreshToken) -> Result<Session, Error> {
        Ok(Session {
            access_token: self.keys.access_token(epoch, user.id, user.role, self.clock.now()).await?,
            expires_in: i64::try_from(ACCESS_TOKEN_LIFETIME.as_secs()).unwrap_or(i64::MAX),
            refresh_token: token.text(),
        })
    }

    /// The keys that verify access tokens, among them `kid` if there is such a key, and whose tokens are not good.
    ///
    /// # Errors
    /// 503 when it cannot be found out.
    pub async fn keys(&self, kid: Option<&str>) -> Result<TrustedKeys, Error> {
        let since = self.clock.now().before(REVOCATION_TTL);
        let (keys, revoked) =
            futures::try_join!(self.keys.public_keys(kid), self.store.revoked_since(since))?;
        Ok(TrustedKeys { keys, revoked })
    }

    /// The keys that verify access tokens, for whoever wants to verify them without us.
    ///
    /// # Errors
    /// Never, as far as we know: those that are known are good for now.
    pub async fn public_keys(&self) -> Result<Vec<PublicKey>, Error> {
        self.keys.public_keys(None).await
    }

    /// Notes that the sessions of a user have ended, after the write that did so.
    pub(crate) async fn sessions_ended(&self, user: &User) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        // They are not good any more, whether they are there or not.
        if let Err(error) = self.store.sessions().forget(user.id).await {
            tracing::warn!(causes = error.causes(), "ended sessions are left to be swept");
        }
    }
}

impl KeySource for UserService {
    fn keys(&self, kid: Option<&str>, _: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>> {
        let kid = kid.map(str::to_owned);
        Box::pin(async move { self.keys(kid.as_deref()).await })
    }

    fn generation(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }
}
