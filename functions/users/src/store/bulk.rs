//! Bulk import of users, to fill a database.

use shared::error::Error;

use super::{UserDocument, UserStore};
use crate::credentials::PasswordHash;
use crate::user::User;

impl UserStore {
    /// Inserts users, in any order, without a check for existing ones, all with the same password.
    ///
    /// # Errors
    /// Fails when it is unknown which of them were inserted.
    pub async fn insert_many(&self, users: &[User], hash: &PasswordHash) -> Result<(), Error> {
        let documents = users.iter().map(|user| UserDocument::of(user, hash));
        self.users.insert_many(documents)?.ordered(false).await?;
        Ok(())
    }
}
