//! Client of the users function: fetches the public keys that verify access tokens, and the revocation list.

use futures::future::BoxFuture;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{GetSigningKeysRequest, GetSigningKeysResponse};

use crate::auth::revocation::Cutoffs;
use crate::auth::{Caller, Epoch, KeySource, PublicKey, Revoked, SessionId, TrustedKeys};
use crate::error::Error;
use crate::rpc::channel::Channel;
use crate::rpc::{convert, metadata};
use crate::runtime::context::Context;
use crate::values::ids::UserId;

/// Key source that asks the users function over a channel.
pub struct JwksClient(Channel);

impl JwksClient {
    /// Creates a client; `users` is the channel to the users function.
    pub fn new(users: Channel) -> Self {
        Self(users)
    }
}

impl KeySource for JwksClient {
    fn keys(&self, kid: Option<&str>, context: &Context) -> BoxFuture<'_, Result<TrustedKeys, Error>> {
        let message = GetSigningKeysRequest { kid: kid.map(str::to_owned) };
        let context = Context { caller: Caller::System, ..context.clone() };
        let mut users = UserServiceClient::new(self.0.clone());
        Box::pin(async move {
            let request = metadata::request(message, &context);
            trusted(users.get_signing_keys(request).await?.into_inner())
        })
    }
}

fn trusted(answer: GetSigningKeysResponse) -> Result<TrustedKeys, Error> {
    // An empty list would accept revoked tokens. An earlier build sends the list to every caller.
    if answer.without_revocations {
        return Err(Error::unavailable(
            "the users function sent keys without revocations: the call arrived without its caller",
        ));
    }
    let keys = answer.keys.into_iter().map(|key| PublicKey { kid: key.kid, bytes: key.public_key }).collect();
    let users = answer.revoked.into_iter().map(|revoked| {
        let user: UserId = revoked.user_id.parse().map_err(Error::internal)?;
        Ok((user, Epoch(revoked.first_good_epoch)))
    });
    let users = users.collect::<Result<Vec<_>, Error>>()?;
    let sessions = answer.ended_sessions.into_iter().map(|id| {
        let id = id.try_into().map_err(|_| Error::internal("the ID of a session does not have 16 bytes"))?;
        Ok(SessionId(id))
    });
    let sessions = sessions.collect::<Result<Vec<_>, Error>>()?;
    // An earlier build of the users function has one time for all.
    let everyone = answer.everyone_revoked_until.map(convert::time);
    let cutoffs = Cutoffs {
        customers: answer.customers_revoked_until.map(convert::time).max(everyone),
        staff: answer.staff_revoked_until.map(convert::time).max(everyone),
    };
    Ok(TrustedKeys { keys, revoked: Revoked::new(users).with_sessions(sessions).with_cutoffs(cutoffs) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn keys_without_revocations_are_not_trusted() {
        let answer = GetSigningKeysResponse { without_revocations: true, ..Default::default() };
        let error = trusted(answer).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.causes().contains("without revocations"), "{}", error.causes());
        // An answer of an earlier build says nothing about it.
        assert!(trusted(GetSigningKeysResponse::default()).is_ok());
    }
}
