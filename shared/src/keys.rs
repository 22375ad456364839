//! Fetches the public keys that verify access tokens from the users function.

use futures::future::BoxFuture;
use proto::users::v1::GetSigningKeysRequest;
use proto::users::v1::user_service_client::UserServiceClient;

use crate::auth::{Caller, KeySource, PublicKey};
use crate::context::Context;
use crate::error::Error;
use crate::rpc::channel::Channel;
use crate::rpc::metadata;

/// The keys of the users function, at the other end of a channel.
pub struct RemoteKeys(Channel);

impl RemoteKeys {
    /// `users` leads to the users function.
    pub fn new(users: Channel) -> Self {
        Self(users)
    }
}

impl KeySource for RemoteKeys {
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<Vec<PublicKey>, Error>> {
        let message = GetSigningKeysRequest { kid: kid.map(str::to_owned) };
        let context = Context { caller: Caller::System, ..context.clone() };
        let mut users = UserServiceClient::new(self.0.clone());
        Box::pin(async move {
            let request = metadata::request(message, &context);
            let answer = users.get_signing_keys(request).await?.into_inner();
            Ok(answer.keys.into_iter().map(|key| PublicKey { kid: key.kid, bytes: key.public_key }).collect())
        })
    }
}
