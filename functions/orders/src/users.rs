//! Client of the users function: checks that a customer is active.

use std::time::Duration;

use proto::users::v1::GetUserRequest;
use proto::users::v1::user_service_client::UserServiceClient;
use shared::auth::Caller;
use shared::error::{Error, Kind};
use shared::rpc::channel::Channel;
use shared::rpc::metadata;
use shared::runtime::context::Context;
use shared::values::clock::Clock;
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
        let deadline = context.deadline.min(self.clock.now().after(TIMEOUT));
        let context = Context { caller: Caller::System, deadline, ..context.clone() };
        let request = metadata::request(GetUserRequest { id: user.to_string() }, &context);
        match self.client.clone().get_user(request).await.map_err(Error::from) {
            Ok(user) => Ok(user.into_inner().status == "active"),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
