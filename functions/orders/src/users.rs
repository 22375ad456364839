//! The users function, as orders sees it: tells whether somebody can be given an order.

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

/// How long a call may take, at most.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A way to the users function.
#[derive(Clone)]
pub struct Users {
    client: UserServiceClient<Channel>,
    clock: Clock,
}

impl Users {
    /// The users function at the other end of `channel`.
    pub fn new(channel: Channel, clock: Clock) -> Self {
        Self { client: UserServiceClient::new(channel), clock }
    }

    /// Whether there is such a user, and one who is active.
    ///
    /// # Errors
    /// 503 when it cannot be found out.
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
