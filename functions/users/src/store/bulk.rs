//! Many users at once: for whoever fills a database.

use shared::error::Error;

use super::{UserDocument, UserStore};
use crate::credentials::PasswordHash;
use crate::user::User;

impl UserStore {
    /// Adds users, in any order, without asking whether they are there already, all with the same password.
    ///
    /// # Errors
    /// When it is not known which of them are there.
    pub async fn insert_many(&self, users: &[User], hash: &PasswordHash) -> Result<(), Error> {
        let documents = users.iter().map(|user| UserDocument::of(user, hash));
        self.users.insert_many(documents).ordered(false).await?;
        Ok(())
    }
}
