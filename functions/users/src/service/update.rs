//! Changes of a user and deletion, with the proof of the current password.

use shared::auth::session_ended;
use shared::error::{Error, Kind};
use shared::http::conditional::IfMatch;
use shared::input::validation::ValidationErrors;
use shared::mongo::conflict_retry::ConflictRetry;
use shared::runtime::context::Context;
use shared::values::ids::UserId;

use super::UserService;
use crate::credentials::{self, Password, PasswordHash};
use crate::store::revocations::Authority;
use crate::store::{Change, StoredUser, Written};
use crate::user::{User, UserChange};

impl UserService {
    /// Changes a user.
    ///
    /// # Errors
    /// 401 for a caller whose session has ended. 404 or 403 for a user that the caller may not change, 403 for a
    /// field. 412 for a version that
    /// `If-Match` does not name, 422 for a wrong password. 409 for a taken e-mail address and for the last
    /// admin.
    pub async fn update(
        &self,
        context: &Context,
        id: UserId,
        if_match: &IfMatch,
        change: UserChange,
    ) -> Result<User, Error> {
        context.caller.signed_in()?;
        let mut retry = ConflictRetry::default();
        let mut proven: Option<PasswordHash> = None;
        let mut new_hash = None;
        let decide = || async {
            let (stored, authority) = self.changeable(context, id).await?;
            if change.is_for_admins() && !context.caller.is_admin() {
                return Err(Error::forbidden("Only admins may change `role` and `status`."));
            }
            if_match.check(stored.user.version)?;
            check_new_password(&stored.user, &change)?;
            let proof = proof_of(context, &stored.user, &change)?;
            let changes = change.password.is_some()
                || stored.user.changed(change.clone(), None, self.clock.now()).is_some();
            Ok((stored, changes.then_some((authority, proof))))
        };
        loop {
            let (stored, next) = retry.decide(decide).await?;
            let Some((authority, proof)) = next else { return Ok(stored.user) };
            // Hashing is expensive: it is repeated only if the password was changed in between.
            if let Some(password) = proof
                && proven.as_ref() != Some(&stored.hash)
            {
                proven = Some(self.prove_password(&stored, password).await?);
            }
            if let (Some(password), None) = (&change.password, &new_hash) {
                new_hash = Some(credentials::hash(password.clone()).await?);
            }
            let Some(changed) = stored.user.changed(change.clone(), new_hash.as_ref(), self.clock.now())
            else {
                return Ok(stored.user);
            };
            let keeps_admin = !stored.user.is_active_admin() || changed.is_active_admin();
            let ends_sessions = new_hash.is_some() || !changed.may_the_same_as(&stored.user);
            let next = Change {
                before: &stored.user,
                user: &changed,
                new_hash: new_hash.as_ref(),
                keeps_admin,
                ends_sessions_of: ends_sessions.then_some(stored.user.role),
                authority,
            };
            match self.store.write(next).await? {
                Written::Done => {
                    if ends_sessions {
                        self.sessions_ended(changed.id, stored.epoch).await;
                    }
                    return Ok(changed);
                }
                Written::LastAdmin => return Err(last_admin()),
                Written::NoAuthority => return Err(session_ended()),
                Written::Outdated => retry.conflict(id).await?,
            }
        }
    }

    /// Checks the current password. Wrong ones are counted by user. Returns the hash that it has.
    async fn prove_password(&self, stored: &StoredUser, password: Password) -> Result<PasswordHash, Error> {
        let id = stored.user.id;
        let (permit, attempt) = self.limits.proof(id).await?;
        let find = self.store.find(id);
        match self.verify_password(permit, password, Some(stored.clone()), find).await? {
            Some(proven) => {
                self.limits.proven(&attempt).await?;
                Ok(proven.hash)
            }
            None => Err(current_password("is not the current password")),
        }
    }

    /// Deletes a user and all personal data.
    ///
    /// # Errors
    /// 401 for a caller whose session has ended. 404 or 403 for a user that the caller may not delete. 412 for a version that `If-Match` does not name,
    /// 409 for the last admin.
    pub async fn delete(&self, context: &Context, id: UserId, if_match: &IfMatch) -> Result<(), Error> {
        context.caller.signed_in()?;
        let mut retry = ConflictRetry::default();
        let decide = || async {
            let (stored, authority) = self.changeable(context, id).await?;
            if_match.check(stored.user.version)?;
            Ok((stored, Some(authority)))
        };
        loop {
            let (stored, authority) = retry.decide(decide).await?;
            let authority = authority.flatten();
            match self.store.delete(&stored.user, self.clock.now(), authority).await? {
                Written::Done => {
                    self.sessions_ended(id, stored.epoch).await;
                    return Ok(());
                }
                Written::LastAdmin => return Err(last_admin()),
                Written::NoAuthority => return Err(session_ended()),
                Written::Outdated => retry.conflict(id).await?,
            }
        }
    }

    /// Finds a user that the caller may change: their own, or any for an admin. A change of another user relies
    /// on the authority that comes with it.
    async fn changeable(
        &self,
        context: &Context,
        id: UserId,
    ) -> Result<(StoredUser, Option<Authority>), Error> {
        let authority = match self.current(context).await? {
            Some(current) if current.authority.user() == id => return Ok((current.stored, None)),
            current => current.map(|current| current.authority),
        };
        let stored = self.visible(context, id).await?;
        if context.caller.is_admin() {
            Ok((stored, authority))
        } else {
            Err(Error::forbidden("Only admins may change or delete another user."))
        }
    }
}

/// Checks a new password against the e-mail address and the name that the user will have.
fn check_new_password(user: &User, change: &UserChange) -> Result<(), Error> {
    let Some(password) = &change.password else { return Ok(()) };
    let mut errors = ValidationErrors::default();
    let email = change.email.as_ref().unwrap_or(&user.email);
    let name = change.name.as_ref().unwrap_or(&user.name);
    if let Err(problem) = password.check_personal(email, name) {
        errors.add("/password", problem);
    }
    errors.check()
}

/// Current password that a change must prove: a new password or e-mail address requires it, unless an admin
/// changes another user.
fn proof_of(context: &Context, user: &User, change: &UserChange) -> Result<Option<Password>, Error> {
    let is_another = context.caller.is_admin() && context.caller.user_id() != Some(user.id);
    let new_email = change.email.as_ref().is_some_and(|email| *email != user.email);
    if is_another || (change.password.is_none() && !new_email) {
        return Ok(None);
    }
    let missing = || current_password("is required to change `password` or `email`");
    change.current_password.clone().map(Some).ok_or_else(missing)
}

fn current_password(problem: &str) -> Error {
    let mut errors = ValidationErrors::default();
    errors.add("/current_password", problem);
    errors.into_error()
}

fn last_admin() -> Error {
    Error::new(
        Kind::LastAdmin,
        "The last active admin cannot be deleted, disabled or demoted. Make another user an admin first.",
    )
}
