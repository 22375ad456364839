//! Creation of users: sign-up, by an admin, and the first admin of a deployment.

use shared::auth::{Caller, Role};
use shared::error::Error;
use shared::http::idempotency::{Idempotent, KeyOrigin, KeyRecord, RequestKey, ScopedKey};
use shared::input::validation::ValidationErrors;
use shared::runtime::context::Context;
use shared::values::ids::UserId;

use super::UserService;
use crate::credentials::{self, Password, PasswordHash};
use crate::store::{self, Inserted, StoredUser};
use crate::user::{Email, NewUser, User};

impl UserService {
    /// Creates a user, once for all requests under one key.
    ///
    /// # Errors
    /// 403 for a role other than `customer` unless the caller is an admin. 422 for a key of another request,
    /// which includes one with another password. 409 for a taken e-mail address.
    pub async fn create(
        &self,
        context: &Context,
        new: NewUser,
        request: ScopedKey,
    ) -> Result<Idempotent<User>, Error> {
        if new.role != Role::Customer && !context.caller.is_admin() {
            return Err(Error::forbidden(
                "Only admins may set a `role` other than customer; omit it to sign up.",
            ));
        }
        // A caller without a token is identified by the e-mail address of the sign-up.
        let caller = match context.caller {
            Caller::Anonymous => new.email.key(),
            known => known.to_string(),
        };
        let key_record = request.by(&caller);
        let origin = key_record.origin;
        // An event that runs again is rare: its write meets the key.
        if origin == KeyOrigin::Client
            && let Some(id) = self.store.keys().find(&key_record, self.clock.now()).await?
        {
            return self.replay(id, new.password, origin).await;
        }
        let password = new.password.clone();
        let conflict = match self.insert(new, Some(&key_record)).await? {
            (user, Inserted::Done) => return Ok(Idempotent::Created(user)),
            (_, Inserted::EmailTaken) => store::email_taken(),
            // The key must have expired at this very moment if the lookup does not find it now.
            (_, Inserted::KeyTaken) => {
                Error::unavailable("an idempotency key is taken, but its record is gone")
            }
        };
        // The conflict may come from a concurrent duplicate of this request.
        match self.store.keys().find_again(&key_record, self.clock.now()).await? {
            Some(id) => self.replay(id, password, origin).await,
            None => Err(conflict),
        }
    }

    /// Replays the user of an earlier request, for a caller who knows its password: an address and a key
    /// prove nothing. The fingerprint does not include the password.
    async fn replay(
        &self,
        id: UserId,
        password: Password,
        origin: KeyOrigin,
    ) -> Result<Idempotent<User>, Error> {
        let stored = self.store.find(id).await?;
        match stored {
            None => Err(Error::not_found("user")),
            Some(StoredUser { user, hash, .. }) => match self.knows_password(&user, password, hash).await? {
                true => Ok(Idempotent::replayed(user, origin)),
                false => Err(RequestKey::reused()),
            },
        }
    }

    /// Verifies the password of a user. A wrong one counts as a failed sign-in.
    pub(super) async fn knows_password(
        &self,
        user: &User,
        entered: Password,
        hash: PasswordHash,
    ) -> Result<bool, Error> {
        let email = user.email.as_str();
        let permit = self.limits.attempt(email).await?;
        let matches = credentials::verify(permit, entered, Some(hash)).await?;
        if matches {
            self.limits.succeeded(email).await?;
        }
        Ok(matches)
    }

    async fn insert(&self, new: NewUser, key_record: Option<&KeyRecord>) -> Result<(User, Inserted), Error> {
        let hash = credentials::hash(new.password.clone()).await?;
        let user = new.into_user(UserId::new(), self.clock.now());
        let inserted = self.store.insert(&user, &hash, key_record).await?;
        Ok((user, inserted))
    }

    /// Creates the first admin, if there is none. An existing admin is never changed.
    ///
    /// # Errors
    /// 422 for an invalid e-mail address or password.
    pub async fn ensure_admin(&self, email: &str, password: &str) -> Result<(), Error> {
        if self.store.has_active_admin().await? {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        let email = errors.required("/ADMIN_EMAIL", Some(email.to_owned()), Email::parse);
        let password = errors.required("/ADMIN_PASSWORD", Some(password.to_owned()), Password::parse);
        let (Some(email), Some(password)) = (email, password) else { return Err(errors.into_error()) };
        let name = "Admin".to_owned();
        let role = Role::Admin;
        let admin = NewUser { email, password, name, phone: None, address: None, role };
        match self.insert(admin, None).await? {
            (_, Inserted::Done) => Ok(()),
            (_, Inserted::EmailTaken | Inserted::KeyTaken) => Err(store::email_taken()),
        }
    }
}
