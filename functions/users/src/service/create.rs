//! Creation of users: sign-up, by an admin, and the first admin of a deployment.

use shared::auth::{Caller, Role};
use shared::error::Error;
use shared::http::idempotency::{Idempotent, KeyRecord, RequestKey, ScopedKey};
use shared::input::validation::ValidationErrors;
use shared::runtime::context::Context;
use shared::values::ids::UserId;

use super::UserService;
use crate::credentials::{self, Password, PasswordHash};
use crate::store::{self, Inserted, StoredUser};
use crate::user::{Email, NewUser, User};

impl UserService {
    /// Adds a user, once for all requests under one key.
    ///
    /// # Errors
    /// 403 for another role than `customer` by anybody but an admin, 422 for a key of another request, which is
    /// also one with another password, 409 for an e-mail address that is taken.
    pub async fn create(
        &self,
        context: &Context,
        new: NewUser,
        request: Option<ScopedKey>,
    ) -> Result<Idempotent<User>, Error> {
        if new.role != Role::Customer && !context.caller.is_admin() {
            return Err(Error::forbidden(
                "Only an admin may give a `role` other than customer; leave it out to sign up as one.",
            ));
        }
        let Some(request) = request else {
            return match self.insert(new, None).await? {
                (user, Inserted::Done) => Ok(Idempotent::Created(user)),
                (_, Inserted::EmailTaken | Inserted::KeyTaken) => Err(store::email_taken()),
            };
        };
        // Who has no token is known by the address that they sign up with.
        let caller = match context.caller {
            Caller::Anonymous => new.email.key(),
            known => known.to_string(),
        };
        let key_record = request.by(&caller);
        if let Some(id) = self.store.keys().find(&key_record, self.clock.now()).await? {
            return self.made_before(id, new.password).await;
        }
        let password = new.password.clone();
        let refusal = match self.insert(new, Some(&key_record)).await? {
            (user, Inserted::Done) => return Ok(Idempotent::Created(user)),
            (_, Inserted::EmailTaken) => store::email_taken(),
            // Nobody has the key, if nobody is found now: it grew too old in this very moment.
            (_, Inserted::KeyTaken) => Error::unavailable("an idempotency key is taken, and nobody has it"),
        };
        // What is in the way may be a twin of this request, which was faster.
        match self.store.keys().find_again(&key_record, self.clock.now()).await? {
            Some(id) => self.made_before(id, password).await,
            None => Err(refusal),
        }
    }

    /// The user whom a request made when it came first, for those who know the password that it gave: an address
    /// and a key prove nothing. The fingerprint does not have the password.
    async fn made_before(&self, id: UserId, password: Password) -> Result<Idempotent<User>, Error> {
        let stored = self.store.find(id).await?;
        match stored {
            None => Err(Error::not_found("user")),
            Some(StoredUser { user, hash, .. }) => match self.knows_password(&user, password, hash).await? {
                true => Ok(Idempotent::Replayed(user)),
                false => Err(RequestKey::reused()),
            },
        }
    }

    /// Whether this is the password of a user. A wrong one counts as a failed sign-in.
    pub(super) async fn knows_password(
        &self,
        user: &User,
        entered: Password,
        hash: PasswordHash,
    ) -> Result<bool, Error> {
        let email = user.email.as_str();
        let turn = self.limits.attempt(email).await?;
        let matches = credentials::verify(turn, entered, Some(hash)).await?;
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

    /// Makes the first admin, if there is none. An admin who is there is never changed.
    ///
    /// # Errors
    /// 422 for an e-mail address or a password that is not allowed.
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
