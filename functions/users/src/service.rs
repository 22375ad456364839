//! Use cases of users, one method each. Authorization and the sequence of I/O live here and nowhere else.
//!
//! - [`create`](UserService::create): sign-up, users made by admins, the first admin
//! - [`update`](UserService::update): changes and deletion
//! - [`sessions`]: sign-in, refresh, sign-out, signing keys

use std::sync::atomic::AtomicU64;

use shared::auth::{Access, Caller, session_ended};
use shared::error::Error;
use shared::input::page::{Page, PageRequest};
use shared::input::validation::ValidationErrors;
use shared::mongo;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::ids::UserId;

use crate::credentials::{self, HashPermit, Password};
use crate::listing::Listing;
use crate::rate_limit::RateLimits;
use crate::store::revocations::Authority;
use crate::store::{StoredUser, UserStore};
use crate::tokens::KeyRing;
use crate::user::User;
use shared::values::email::Email;

mod create;
pub mod sessions;
mod update;

/// Use cases of users.
pub struct UserService {
    pub(crate) store: UserStore,
    pub(crate) keys: KeyRing,
    pub(crate) limits: RateLimits,
    pub(crate) clock: Clock,
    /// Number of times that this process has ended sessions.
    pub(crate) changes: AtomicU64,
}

impl UserService {
    /// Creates the use cases over this store.
    pub fn new(store: UserStore, keys: KeyRing, limits: RateLimits, clock: Clock) -> Self {
        Self { store, keys, limits, clock, changes: AtomicU64::default() }
    }

    /// Rate limits of sign-ins and requests.
    pub fn limits(&self) -> &RateLimits {
        &self.limits
    }

    /// Reads a user.
    ///
    /// # Errors
    /// 404 for a user that the caller may not see.
    pub async fn get(&self, context: &Context, id: UserId) -> Result<User, Error> {
        let stored = match context.caller {
            // Functions may read any: `grpc` shows them its status alone. An order is refused for a user who is not
            // active.
            Caller::System => match mongo::confirm_refusals(|| self.existing(id)).await? {
                stored if stored.user.may_sign_in() => stored,
                _ => mongo::confirmed(self.existing(id)).await?,
            },
            caller => {
                caller.signed_in()?;
                mongo::confirm_refusals(|| self.visible(context, id)).await?
            }
        };
        Ok(stored.user)
    }

    /// Finds the ID of the user with an e-mail address, for functions and staff.
    ///
    /// # Errors
    /// 403 for customers, 422 for a malformed address, 404 if no user has it.
    pub async fn find_id(&self, context: &Context, email: String) -> Result<UserId, Error> {
        if context.caller != Caller::System {
            Access::Staff.check(context.caller)?;
        }
        let mut errors = ValidationErrors::default();
        let Some(email) = errors.optional("/email", Some(email), Email::parse) else {
            return Err(errors.into_error());
        };
        let found = self.store.find_by_email(&email.key()).await?;
        found.map(|stored| stored.user.id).ok_or_else(|| Error::not_found("user"))
    }

    /// Lists users.
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
        let after = page.after(&scope, listing.sort.by.of())?;
        let found = self.store.list(&listing, &page, after.as_ref());
        Ok(page.page(mongo::bounded_list(context, found).await?, &scope))
    }

    /// Reads the caller from the database: a change of authority relies on nothing that is cached. `None` for
    /// callers without a user.
    ///
    /// # Errors
    /// 401 for a caller whose role, status or session is not that of the access token any more.
    async fn current(&self, context: &Context) -> Result<Option<CurrentCaller>, Error> {
        let Caller::User { id, role } = context.caller else { return Ok(None) };
        let authority = Authority::new(id, role, context.token);
        let has_ended = async {
            match authority.session() {
                Some(session) => self.store.sessions().has_ended(id, session).await,
                None => Ok(false),
            }
        };
        let (stored, has_ended) = futures::try_join!(self.store.find(id), has_ended)?;
        let stored = stored.filter(|stored| !has_ended && authority.is_held_by(stored));
        stored.map(|stored| Some(CurrentCaller { stored, authority })).ok_or_else(session_ended)
    }

    /// Finds a user that the caller may see: their own, or any for staff.
    async fn visible(&self, context: &Context, id: UserId) -> Result<StoredUser, Error> {
        let caller = context.caller;
        if !caller.is_staff() && caller.user_id() != Some(id) {
            return Err(Error::not_found("user"));
        }
        self.existing(id).await
    }

    async fn existing(&self, id: UserId) -> Result<StoredUser, Error> {
        self.store.find(id).await?.ok_or_else(|| Error::not_found("user"))
    }

    /// Verifies a password. Before it is refused, `find` reads the user again as of all acknowledged writes, also
    /// if there was none: the time does not reveal whether the user exists. Returns the user whose password it is.
    async fn verify_password(
        &self,
        permit: HashPermit,
        password: Password,
        stored: Option<StoredUser>,
        find: impl Future<Output = Result<Option<StoredUser>, Error>>,
    ) -> Result<Option<StoredUser>, Error> {
        let hash = |stored: &Option<StoredUser>| stored.as_ref().map(|stored| stored.hash.clone());
        if credentials::verify(permit, password.clone(), hash(&stored)).await? {
            return Ok(stored);
        }
        let current = mongo::confirmed(find).await?;
        if hash(&current) == hash(&stored) {
            return Ok(None);
        }
        let matches = credentials::verify(HashPermit::next().await?, password, hash(&current)).await?;
        Ok(current.filter(|_| matches))
    }
}

/// Caller as the database has them at this moment.
struct CurrentCaller {
    stored: StoredUser,
    authority: Authority,
}
