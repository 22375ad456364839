//! The use cases around users: one method each, the only place that orders I/O and decides who may.

use std::sync::atomic::AtomicU64;

use shared::auth::{Caller, Role};
use shared::clock::Clock;
use shared::contention::Contention;
use shared::context::Context;
use shared::error::{Error, Kind};
use shared::faults::Faults;
use shared::idempotency::{Claim, Keyed, KeyedRequest, Made};
use shared::ids::UserId;
use shared::page::{Page, PageRequest, SortType};
use shared::version::Expected;

use crate::credentials::{self, Password, PasswordHash};
use crate::limits::Limits;
use crate::listing::Listing;
use crate::store::{self, Inserted, StoredUser, UserStore, Written};
use crate::tokens::KeyRing;
use crate::user::{Email, NewUser, User, UserChange};

/// The use cases around users.
pub struct UserService {
    pub(crate) store: UserStore,
    pub(crate) keys: KeyRing,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// How often this process has ended sessions.
    pub(crate) changes: AtomicU64,
}

impl UserService {
    /// The use cases over this store.
    pub fn new(store: UserStore, keys: KeyRing, limits: Limits, clock: Clock) -> Self {
        Self { store, keys, limits, clock, changes: AtomicU64::default() }
    }

    /// How often one may try.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Adds a user, once for all requests under one key.
    ///
    /// # Errors
    /// 403 for another role than `customer` by anybody but an admin, 422 for a key of another request, which is
    /// also one with another password, 409 for an e-mail address that is taken.
    pub async fn create(
        &self,
        context: &Context,
        new: NewUser,
        request: Option<KeyedRequest>,
    ) -> Result<Made<User>, Error> {
        if new.role != Role::Customer && !context.caller.is_admin() {
            return Err(Error::forbidden(
                "Only an admin may give a `role` other than customer; leave it out to sign up as one.",
            ));
        }
        let Some(request) = request else {
            return match self.insert(new, None).await? {
                (user, Inserted::Done) => Ok(Made::now(user)),
                (_, Inserted::EmailTaken | Inserted::KeyTaken) => Err(store::email_taken()),
            };
        };
        // Who has no token is known by the address that they sign up with.
        let caller = match context.caller {
            Caller::Anyone => new.email.key(),
            known => known.to_string(),
        };
        let claim = request.by(&caller);
        if let Some(id) = self.store.keys().find(&claim, self.clock.now()).await? {
            return self.made_before(id, new.password).await;
        }
        let password = new.password.clone();
        let refusal = match self.insert(new, Some(&claim)).await? {
            (user, Inserted::Done) => return Ok(Made::now(user)),
            (_, Inserted::EmailTaken) => store::email_taken(),
            // Nobody has the key, if nobody is found now: it grew too old in this very moment.
            (_, Inserted::KeyTaken) => Error::unavailable("an idempotency key is taken, and nobody has it"),
        };
        // What is in the way may be a twin of this request, which was faster.
        match self.store.keys().find_again(&claim, self.clock.now()).await? {
            Some(id) => self.made_before(id, password).await,
            None => Err(refusal),
        }
    }

    /// The user whom a request made when it came first, for those who know the password that it gave: an address
    /// and a key prove nothing. The fingerprint does not have the password.
    async fn made_before(&self, id: UserId, password: Password) -> Result<Made<User>, Error> {
        let stored = self.store.find(id).await?;
        match stored {
            None => Err(Error::not_found("user")),
            Some(StoredUser { user, hash, .. }) => match self.knows_password(&user, password, hash).await? {
                true => Ok(Made::before(user)),
                false => Err(Keyed::reused()),
            },
        }
    }

    /// Whether this is the password of a user. A wrong one counts as a failed sign-in.
    async fn knows_password(
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

    async fn insert(&self, new: NewUser, claim: Option<&Claim>) -> Result<(User, Inserted), Error> {
        let hash = credentials::hash(new.password.clone()).await?;
        let user = new.into_user(UserId::new(), self.clock.now());
        let inserted = self.store.insert(&user, &hash, claim).await?;
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
        let mut faults = Faults::default();
        let email = faults.required("/ADMIN_EMAIL", Some(email.to_owned()), Email::parse);
        let password = faults.required("/ADMIN_PASSWORD", Some(password.to_owned()), Password::parse);
        let (Some(email), Some(password)) = (email, password) else { return Err(faults.into_error()) };
        let name = "Admin".to_owned();
        let role = Role::Admin;
        let admin = NewUser { email, password, name, phone: None, address: None, role };
        match self.insert(admin, None).await? {
            (_, Inserted::Done) => Ok(()),
            (_, Inserted::EmailTaken | Inserted::KeyTaken) => Err(store::email_taken()),
        }
    }

    /// A user.
    ///
    /// # Errors
    /// 404 for a user that the caller may not see.
    pub async fn get(&self, context: &Context, id: UserId) -> Result<User, Error> {
        require_known(context.caller)?;
        self.visible(context, id).await.map(|stored| stored.user)
    }

    /// A page of users, newest first.
    ///
    /// # Errors
    /// 403 for customers, 400 for a bad cursor.
    pub async fn list(
        &self,
        context: &Context,
        listing: Listing,
        page: PageRequest,
    ) -> Result<Page<User>, Error> {
        shared::auth::Access::Staff.check(context.caller)?;
        let scope = format!("users|{}|{listing:?}", context.caller);
        let after = page.after(&scope, SortType::Time)?;
        Ok(page.page(self.store.list(&listing, &page, after.as_ref()).await?, &scope))
    }

    /// Changes a user.
    ///
    /// # Errors
    /// 404 or 403 for a user that the caller may not change, 403 for a field, 412 for another version than the
    /// expected one, 422 for a wrong password, 409 for a taken e-mail address and for the last admin.
    pub async fn update(
        &self,
        context: &Context,
        id: UserId,
        expected: &Expected,
        change: UserChange,
    ) -> Result<User, Error> {
        require_known(context.caller)?;
        let mut contention = Contention::default();
        let mut proven: Option<PasswordHash> = None;
        let mut new_hash = None;
        loop {
            let stored = self.changeable(context, id).await?;
            if change.is_for_admins() && !context.caller.is_admin() {
                return Err(Error::forbidden("Only an admin may change `role` and `status`."));
            }
            expected.check(stored.user.version)?;
            // Hashing is dear: it is done again only when the password was changed in between.
            if let Some(password) = change.password.clone()
                && proven.as_ref() != Some(&stored.hash)
            {
                self.prove_password(context, &stored, &change).await?;
                new_hash = Some(credentials::hash(password).await?);
                proven = Some(stored.hash.clone());
            }
            let Some(changed) = stored.user.changed(change.clone(), new_hash.as_ref(), self.clock.now())
            else {
                return Ok(stored.user);
            };
            let keeps_admin = !stored.user.is_active_admin() || changed.is_active_admin();
            let ends_sessions = new_hash.is_some() || !changed.may_the_same_as(&stored.user);
            let hash = new_hash.clone().unwrap_or(stored.hash);
            match self.store.replace(&changed, &hash, keeps_admin, ends_sessions).await? {
                Written::Done => {
                    if ends_sessions {
                        self.sessions_ended(&changed).await;
                    }
                    return Ok(changed);
                }
                Written::LastAdmin => return Err(last_admin()),
                Written::Outdated => contention.lost(id).await?,
            }
        }
    }

    /// A new password needs the current one, unless an admin helps somebody else.
    async fn prove_password(
        &self,
        context: &Context,
        stored: &StoredUser,
        change: &UserChange,
    ) -> Result<(), Error> {
        if context.caller.is_admin() && context.caller.user_id() != Some(stored.user.id) {
            return Ok(());
        }
        let mut faults = Faults::default();
        match change.current_password.clone() {
            None => faults.add("/current_password", "is required to change the password"),
            Some(current) => {
                if !self.knows_password(&stored.user, current, stored.hash.clone()).await? {
                    faults.add("/current_password", "is not the current password");
                }
            }
        }
        faults.check()
    }

    /// Deletes a user and everything personal.
    ///
    /// # Errors
    /// 404 or 403 for a user that the caller may not delete, 412 for another version than the expected one, 409
    /// for the last admin.
    pub async fn delete(&self, context: &Context, id: UserId, expected: &Expected) -> Result<(), Error> {
        require_known(context.caller)?;
        let mut contention = Contention::default();
        loop {
            let stored = self.changeable(context, id).await?;
            expected.check(stored.user.version)?;
            match self.store.delete(&stored.user, self.clock.now()).await? {
                Written::Done => {
                    self.sessions_ended(&stored.user).await;
                    return Ok(());
                }
                Written::LastAdmin => return Err(last_admin()),
                Written::Outdated => contention.lost(id).await?,
            }
        }
    }

    /// A user that the caller may see: their own, or any for staff.
    async fn visible(&self, context: &Context, id: UserId) -> Result<StoredUser, Error> {
        let caller = context.caller;
        if !caller.is_staff() && caller.user_id() != Some(id) {
            return Err(Error::not_found("user"));
        }
        self.store.find(id).await?.ok_or_else(|| Error::not_found("user"))
    }

    /// A user that the caller may change: their own, or any for an admin.
    async fn changeable(&self, context: &Context, id: UserId) -> Result<StoredUser, Error> {
        let stored = self.visible(context, id).await?;
        if context.caller.is_admin() || context.caller.user_id() == Some(id) {
            Ok(stored)
        } else {
            Err(Error::forbidden("Only an admin may change or delete another user."))
        }
    }
}

/// # Errors
/// 401 for somebody that we do not know.
fn require_known(caller: Caller) -> Result<(), Error> {
    if caller == Caller::Anyone { caller.signed_in().map(|_| ()) } else { Ok(()) }
}

fn last_admin() -> Error {
    Error::new(
        Kind::LastAdmin,
        "This is the last active admin, who cannot be deleted, disabled or given another role. Make another admin first.",
    )
}
