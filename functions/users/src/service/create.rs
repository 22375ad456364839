//! Creation of users: sign-up, by an admin, and the first admin of a deployment.

use shared::auth::{Caller, Role, session_ended};
use shared::error::Error;
use shared::http::idempotency::{Idempotent, KeyOrigin, KeyRecord, RequestKey, ScopedKey};
use shared::input::validation::ValidationErrors;
use shared::mongo;
use shared::runtime::context::{Context, SourceAddress};
use shared::values::ids::UserId;

use super::UserService;
use crate::credentials::{self, Password};
use crate::store::revocations::Authority;
use crate::store::{self, Inserted, StoredUser};
use crate::user::{NewUser, User};
use shared::values::email::Email;

impl UserService {
    /// Creates a user, once for all requests under one key.
    ///
    /// # Errors
    /// 401 for a caller whose session has ended. 403 for a role other than `customer` unless the caller is an
    /// admin. 422 for a key of another request,
    /// which includes one with another password. 409 for a taken e-mail address.
    pub async fn create(
        &self,
        context: &Context,
        new: NewUser,
        request: ScopedKey,
        source: Option<SourceAddress>,
    ) -> Result<Idempotent<User>, Error> {
        let current = mongo::confirm_refusals(|| self.current(context)).await?;
        let gives_authority = new.role != Role::Customer;
        if gives_authority && !context.caller.is_admin() {
            return Err(Error::forbidden(
                "Only admins may set a `role` other than customer; omit it to sign up.",
            ));
        }
        let authority = current.map(|current| current.authority).filter(|_| gives_authority);
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
            return self.replay(id, new.password, source, origin).await;
        }
        let password = new.password.clone();
        let conflict = match self.insert(new, Some(&key_record), authority).await? {
            (user, Inserted::Done) => return Ok(Idempotent::Created(user)),
            (_, Inserted::NoAuthority) => return Err(session_ended()),
            (_, Inserted::EmailTaken) => store::email_taken(),
            // The key must have expired at this very moment if the lookup does not find it now.
            (_, Inserted::KeyTaken) => {
                Error::unavailable("an idempotency key is taken, but its record is gone")
            }
        };
        // The conflict may come from a concurrent duplicate of this request.
        match mongo::confirmed(self.store.keys().find(&key_record, self.clock.now())).await? {
            Some(id) => self.replay(id, password, source, origin).await,
            None => Err(conflict),
        }
    }

    /// Replays the user of an earlier request, for a caller who knows its password: an address and a key
    /// prove nothing. The fingerprint does not include the password. A wrong one counts as a failed sign-in.
    async fn replay(
        &self,
        id: UserId,
        password: Password,
        source: Option<SourceAddress>,
        origin: KeyOrigin,
    ) -> Result<Idempotent<User>, Error> {
        let stored = mongo::confirm_refusals(|| self.existing(id)).await?;
        let (permit, attempt) = self.limits.sign_in(stored.user.email.as_str(), Some(id), source).await?;
        let find = self.store.find(id);
        let Some(StoredUser { user, .. }) =
            self.verify_password(permit, password, Some(stored), find).await?
        else {
            return Err(RequestKey::reused());
        };
        self.limits.succeeded(&attempt).await?;
        Ok(Idempotent::replayed(user, origin))
    }

    async fn insert(
        &self,
        new: NewUser,
        key_record: Option<&KeyRecord>,
        authority: Option<Authority>,
    ) -> Result<(User, Inserted), Error> {
        let hash = credentials::hash(new.password.clone()).await?;
        let user = new.into_user(UserId::new(), self.clock.now());
        let inserted = self.store.insert(&user, &hash, key_record, authority).await?;
        Ok((user, inserted))
    }

    /// Creates the first admin, if there is none. An existing admin is never changed.
    ///
    /// # Errors
    /// 422 for an invalid e-mail address or password.
    pub async fn ensure_admin(&self, email: &str, password: &str) -> Result<(), Error> {
        if mongo::confirmed(self.store.has_active_admin()).await? {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        let email = errors.required("/ADMIN_EMAIL", Some(email.to_owned()), Email::parse);
        let password = errors.required("/ADMIN_PASSWORD", Some(password.to_owned()), Password::parse);
        let (Some(email), Some(password)) = (email, password) else { return Err(errors.into_error()) };
        let name = "Admin".to_owned();
        let role = Role::Admin;
        let admin = NewUser { email, password, name, phone: None, address: None, role };
        match self.insert(admin, None, None).await? {
            (_, Inserted::Done) => Ok(()),
            _ => Err(store::email_taken()),
        }
    }
}
