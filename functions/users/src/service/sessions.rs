//! Session use cases: sign-in, refresh, sign-out, and the keys and revocations that decide about tokens.
//!
//! A session is a family of refresh tokens, with their access tokens. It ends by expiry, by sign-out, when a
//! spent refresh token is used again, and when its user has too many. It also ends with the user's epoch. The epoch rises in the same
//! write that changes a password, a role or a status, or deletes the user.

use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use shared::auth::revocation::REVOCATION_TTL;
use shared::auth::{ACCESS_TOKEN_LIFETIME, Epoch, KeySource, PublicKey, Role, TokenOrigin, TrustedKeys};
use shared::error::{Error, Kind};
use shared::mongo;
use shared::runtime::context::{Context, SourceAddress};
use shared::values::ids::UserId;

use super::UserService;
use crate::credentials::{self, Password};
use crate::forms::SignIn;
use crate::refresh_token::RefreshToken;
use crate::store::StoredUser;
use crate::store::sessions::Shown;
use crate::user::User;

/// Tokens of a session.
#[derive(Debug)]
pub struct Session {
    /// Access token, a JWT.
    pub access_token: String,
    /// Lifetime of the access token, in seconds.
    pub expires_in: i64,
    /// Refresh token, valid once.
    pub refresh_token: String,
}

impl UserService {
    /// Signs in with an e-mail address and a password.
    ///
    /// # Errors
    /// 401 for an unknown address, a wrong password and a disabled user, with the same text after the same
    /// work. 429 after too many failures.
    pub async fn authenticate(
        &self,
        sign_in: SignIn,
        source: Option<SourceAddress>,
    ) -> Result<Session, Error> {
        let SignIn { email, password } = sign_in;
        let stored = self.store.find_by_email(&email).await?;
        let owner = stored.as_ref().map(|stored| stored.user.id);
        let (permit, attempt) = self.limits.sign_in(&email, owner, source).await?;
        let find = self.store.find_by_email(&email);
        let stored = match self.verify_password(permit, password.clone(), stored, find).await? {
            Some(stored) => self.if_active(stored).await?,
            None => None,
        };
        let stored = match stored {
            Some(stored) => self.join_ended_sessions(stored).await?,
            None => None,
        };
        let Some(stored) = stored else {
            return Err(Error::new(
                Kind::Unauthenticated,
                "Wrong e-mail address or password, or the user is disabled.",
            ));
        };
        let token = RefreshToken::first()?;
        let StoredUser { user, epoch, .. } = &stored;
        let begin = self.store.sessions().begin(&token, user.id, user.role, *epoch, self.clock.now());
        let (has_ended_another, ..) = futures::try_join!(
            begin,
            self.limits.succeeded(&attempt),
            self.limits.signed_in(user.id, source),
            self.keep_hash_up_to_date(&stored, password)
        )?;
        if has_ended_another {
            self.revoked_here();
        }
        self.session(user, *epoch, &token).await
    }

    /// Returns a user who may sign in. One who may not is read again, as of all acknowledged writes.
    async fn if_active(&self, stored: StoredUser) -> Result<Option<StoredUser>, Error> {
        if stored.user.may_sign_in() {
            return Ok(Some(stored));
        }
        let current = mongo::confirmed(self.store.find(stored.user.id)).await?;
        Ok(current.filter(|current| current.user.may_sign_in() && current.hash == stored.hash))
    }

    /// Ends all sessions of a customer who signs in and has ended many lately. Otherwise one of them could fill the
    /// list of ended sessions, in which others would have no place. Staff are known, and have a list of their own.
    /// `None` if the user may not sign in any more.
    async fn join_ended_sessions(&self, stored: StoredUser) -> Result<Option<StoredUser>, Error> {
        let now = self.clock.now();
        let is_known = matches!(stored.user.role, Role::Staff | Role::Admin);
        if is_known || !self.store.sessions().has_many_ended(stored.user.id, now).await? {
            return Ok(Some(stored));
        }
        let is_raised = self.store.raise_epoch(&stored, now).await?;
        if is_raised {
            self.sessions_ended(stored.user.id, stored.epoch).await;
        }
        // Without it another sign-in was faster, or something else has changed.
        let current = mongo::confirmed(self.store.find(stored.user.id)).await?;
        let is_same = |current: &StoredUser| current.user.may_sign_in() && current.hash == stored.hash;
        Ok(current.filter(is_same))
    }

    /// Hashes a password anew if its hash was made with less work than today's.
    async fn keep_hash_up_to_date(&self, stored: &StoredUser, password: Password) -> Result<(), Error> {
        if stored.hash.is_outdated() {
            let hash = credentials::hash(password).await?;
            self.store.rehash(stored, &hash).await?;
        }
        Ok(())
    }

    /// Exchanges a refresh token, which is spent by that, for a new pair. The token that was spent last may be
    /// shown again for a few seconds: by a second tab, or because the answer got lost.
    ///
    /// # Errors
    /// 401 for an invalid token. If it was spent before, its session ends now: the first use may have been a
    /// thief's. It may also be an honest client's. They cannot be told apart: either must sign in again.
    pub async fn refresh(&self, token: &str) -> Result<Session, Error> {
        let invalid = || {
            let detail = "The refresh token is invalid, expired or already used. Sign in with `POST /auth`.";
            Error::new(Kind::Unauthenticated, detail)
        };
        let token = RefreshToken::parse(token).ok_or_else(invalid)?;
        let next = token.next()?;
        let (sessions, now) = (self.store.sessions(), self.clock.now());
        let find = || async {
            let session = sessions.find(token.family(), now).await?.ok_or_else(invalid)?;
            let stored = self.store.find(session.user).await?;
            let is_good = |stored: &StoredUser| stored.epoch == session.epoch && stored.user.may_sign_in();
            Ok((session, stored.filter(is_good).ok_or_else(invalid)?))
        };
        let (session, StoredUser { user, epoch, .. }) = mongo::confirm_refusals(find).await?;
        match sessions.trade(&session, user.role, &token, &next, now).await? {
            Shown::Traded => self.session(&user, epoch, &next).await,
            Shown::Ended => {
                self.revoked_here();
                Err(invalid())
            }
            Shown::Unknown => Err(invalid()),
        }
    }

    /// Ends the session of a refresh token, spent or not. An unknown token counts as ended.
    ///
    /// # Errors
    /// 503 when the store is unavailable.
    pub async fn sign_out(&self, token: &str) -> Result<(), Error> {
        let Some(token) = RefreshToken::parse(token) else { return Ok(()) };
        if self.store.sessions().end(token.family(), self.clock.now()).await? {
            self.revoked_here();
        }
        Ok(())
    }

    async fn session(&self, user: &User, epoch: Epoch, token: &RefreshToken) -> Result<Session, Error> {
        let origin = TokenOrigin { epoch, session: Some(token.family().session()) };
        Ok(Session {
            access_token: self.keys.access_token(origin, user.id, user.role, self.clock.now()).await?,
            expires_in: i64::try_from(ACCESS_TOKEN_LIFETIME.as_secs()).unwrap_or(i64::MAX),
            refresh_token: token.text(),
        })
    }

    /// Keys that verify access tokens, `kid` among them if it exists, and the revocations.
    ///
    /// # Errors
    /// 503 when keys or revocations are unavailable.
    pub async fn keys(&self, kid: Option<&str>) -> Result<TrustedKeys, Error> {
        let since = self.clock.now().before(REVOCATION_TTL);
        let (keys, revoked) =
            futures::try_join!(self.keys.public_keys(kid), self.store.revoked_since(since))?;
        Ok(TrustedKeys { keys, revoked })
    }

    /// Public keys of access tokens, `kid` among them if it exists, for verification outside of the system.
    ///
    /// # Errors
    /// 503 when it is unknown whether `kid` exists. Known keys stay valid while the secret is unavailable.
    pub async fn public_keys(&self, kid: Option<&str>) -> Result<Vec<PublicKey>, Error> {
        self.keys.public_keys(kid).await
    }

    /// Notes that this process has revoked access tokens, so that it reads the revocations again.
    fn revoked_here(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Records that the sessions of a user up to this epoch have ended, after the write that ended them.
    pub(crate) async fn sessions_ended(&self, user: UserId, last: Epoch) {
        self.revoked_here();
        // They are invalid by the epoch, deleted or not.
        if let Err(error) = self.store.sessions().forget(user, last).await {
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
