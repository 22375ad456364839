//! Client of the users function: checks that a customer is active, and finds one by e-mail address.

use std::time::Duration;

use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{GetUserRequest, User};
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::rpc::channel::Channel;
use shared::rpc::convert;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
use shared::values::email::Email;
use shared::values::ids::UserId;

/// Maximum time of a call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Client of the users function.
#[derive(Clone)]
pub struct Users {
    client: UserServiceClient<Channel>,
    clock: Clock,
}

impl Users {
    /// Creates a client that calls users over `channel`.
    pub fn new(channel: Channel, clock: Clock) -> Self {
        Self { client: UserServiceClient::new(channel), clock }
    }

    /// True if the user exists and is active.
    ///
    /// # Errors
    /// 503 when users is unavailable.
    pub async fn is_active(&self, context: &Context, user: UserId) -> Result<bool, Error> {
        let request = GetUserRequest { id: user.to_string(), email: None };
        Ok(self.find(context, request).await?.is_some_and(|user| user.status == "active"))
    }

    /// Finds the user with an e-mail address, in any case.
    ///
    /// # Errors
    /// 503 when users is unavailable.
    pub async fn find_by_email(&self, context: &Context, email: &Email) -> Result<Option<UserId>, Error> {
        let request = GetUserRequest { id: String::new(), email: Some(email.as_str().to_owned()) };
        self.find(context, request).await?.map(|user| convert::trusted_id(&user.id)).transpose()
    }

    /// Asks for a user, in the name of this function.
    async fn find(&self, context: &Context, request: GetUserRequest) -> Result<Option<User>, Error> {
        let deadline = context.deadline.min(self.clock.now().after(TIMEOUT));
        let context = Context { caller: Caller::System, deadline, ..context.clone() };
        let request = metadata::request(request, &context);
        match self.client.clone().get_user(request).await.map_err(Error::from) {
            Ok(user) => Ok(Some(user.into_inner())),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
