//! The gRPC face of users: convert, call the service, convert.

use std::sync::Arc;

use proto::users::v1 as wire;
use proto::users::v1::user_service_server::{SERVICE_NAME, UserService as Rpc};
use shared::auth::revocation::Cutoffs;
use shared::auth::{Caller, Epoch, SessionId, TrustedKeys};
use shared::error::Error;
use shared::http::conditional::IfMatch;
use shared::http::idempotency::RequestKey;
use shared::rpc::convert;
use shared::rpc::metadata::context_of;
use shared::runtime::context::{Context, SourceAddress};
use shared::values::ids::{self, UserId};
use tonic::{Request, Response, Status};

use crate::forms::{CreateUserForm, RefreshTokenForm, SignInForm, UpdateUserForm};
use crate::listing::Listing;
use crate::service::UserService;
use crate::views::{message, session_message, status_message};

/// gRPC service that tonic's server calls.
#[derive(Clone)]
pub struct Grpc {
    users: Arc<UserService>,
}

impl Grpc {
    /// The face of this service.
    pub fn new(users: Arc<UserService>) -> Self {
        Self { users }
    }

    /// Counts a call that comes over a socket. One that does not comes from another function.
    async fn within_limit<T: Sync>(&self, request: &Request<T>) -> Result<(), Error> {
        match source(request) {
            Some(address) => self.users.limits().request(Some(address)).await,
            None => Ok(()),
        }
    }

    /// The same for calls that admins may send without a limit.
    async fn admin_or_within_limit<T: Sync>(
        &self,
        context: &Context,
        request: &Request<T>,
    ) -> Result<(), Error> {
        if context.caller.is_admin() { Ok(()) } else { self.within_limit(request).await }
    }
}

/// Address of the peer of a call over a socket.
fn source<T>(request: &Request<T>) -> Option<SourceAddress> {
    request.extensions().get().copied()
}

#[tonic::async_trait]
impl Rpc for Grpc {
    async fn create_user(
        &self,
        request: Request<wire::CreateUserRequest>,
    ) -> Result<Response<wire::User>, Status> {
        self.within_limit(&request).await?;
        let (context, source) = (context_of(&request)?, source(&request));
        // Nothing that is made from a password may be kept with a key.
        let without_secret = wire::CreateUserRequest { password: None, ..request.get_ref().clone() };
        let key = RequestKey::of_call(&context, request.metadata(), &without_secret)?;
        let key = key.sent_to(format!("/{SERVICE_NAME}/CreateUser"));
        let new = CreateUserForm::from(request.into_inner()).check()?;
        Ok(self.users.create(&context, new, key, source).await?.into_rpc(message))
    }

    async fn get_user(&self, request: Request<wire::GetUserRequest>) -> Result<Response<wire::User>, Status> {
        let context = context_of(&request)?;
        let wire::GetUserRequest { id, email } = request.into_inner();
        let id = match email {
            Some(email) => self.users.find_id(&context, email).await?,
            None => user_id(id)?,
        };
        let user = self.users.get(&context, id).await?;
        let seen = if context.caller == Caller::System { status_message(&user) } else { message(user) };
        Ok(Response::new(seen))
    }

    async fn update_user(
        &self,
        request: Request<wire::UpdateUserRequest>,
    ) -> Result<Response<wire::User>, Status> {
        let context = context_of(&request)?;
        self.admin_or_within_limit(&context, &request).await?;
        let request = request.into_inner();
        let id = user_id(request.id.clone())?;
        let if_match = IfMatch::of_call(request.expected_version);
        let change = UpdateUserForm::from_message(request)?.check()?;
        Ok(Response::new(message(self.users.update(&context, id, &if_match, change).await?)))
    }

    async fn delete_user(
        &self,
        request: Request<wire::DeleteUserRequest>,
    ) -> Result<Response<wire::DeleteUserResponse>, Status> {
        let context = context_of(&request)?;
        self.admin_or_within_limit(&context, &request).await?;
        let wire::DeleteUserRequest { id, expected_version } = request.into_inner();
        self.users.delete(&context, user_id(id)?, &IfMatch::of_call(expected_version)).await?;
        Ok(Response::new(wire::DeleteUserResponse {}))
    }

    async fn list_users(
        &self,
        request: Request<wire::ListUsersRequest>,
    ) -> Result<Response<wire::ListUsersResponse>, Status> {
        let context = context_of(&request)?;
        let mut request = request.into_inner();
        let page = convert::page(request.page.take())?;
        let page = self.users.list(&context, Listing::from_message(request)?, page).await?;
        let page = convert::bounded(page.map(message));
        Ok(Response::new(wire::ListUsersResponse { data: page.data, next_cursor: page.next_cursor }))
    }

    async fn authenticate(
        &self,
        request: Request<wire::AuthenticateRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        self.within_limit(&request).await?;
        let source = source(&request);
        let wire::AuthenticateRequest { email, password } = request.into_inner();
        let session = self.users.authenticate(SignInForm { email, password }.check()?, source).await?;
        Ok(Response::new(session_message(session)))
    }

    async fn refresh_token(
        &self,
        request: Request<wire::RefreshTokenRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        self.within_limit(&request).await?;
        let wire::RefreshTokenRequest { refresh_token } = request.into_inner();
        let session = self.users.refresh(&RefreshTokenForm { refresh_token }.check()?).await?;
        Ok(Response::new(session_message(session)))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenResponse>, Status> {
        let wire::RevokeTokenRequest { refresh_token } = request.into_inner();
        self.users.sign_out(&RefreshTokenForm { refresh_token }.check()?).await?;
        Ok(Response::new(wire::RevokeTokenResponse {}))
    }

    async fn get_signing_keys(
        &self,
        request: Request<wire::GetSigningKeysRequest>,
    ) -> Result<Response<wire::GetSigningKeysResponse>, Status> {
        let is_function = context_of(&request)?.caller == Caller::System;
        let kid = request.into_inner().kid;
        // Revocations name users, and to read them costs up to 115,000 documents.
        let trusted = if is_function {
            self.users.keys(kid.as_deref()).await?
        } else {
            self.users.public_keys(kid.as_deref()).await?.into()
        };
        let TrustedKeys { keys, revoked } = trusted;
        let keys =
            keys.into_iter().map(|key| wire::SigningKey { kid: key.kid, public_key: key.bytes }).collect();
        let Cutoffs { customers, staff } = revoked.cutoffs();
        let ended_sessions = revoked.sessions().map(|SessionId(id)| id.to_vec()).collect();
        let revoked = revoked
            .users()
            .map(|(user, Epoch(epoch))| wire::Revocation {
                user_id: user.to_string(),
                first_good_epoch: epoch,
            })
            .collect();
        Ok(Response::new(wire::GetSigningKeysResponse {
            keys,
            revoked,
            everyone_revoked_until: None,
            ended_sessions,
            customers_revoked_until: customers.map(convert::timestamp),
            staff_revoked_until: staff.map(convert::timestamp),
            without_revocations: !is_function,
        }))
    }
}

fn user_id(text: String) -> Result<UserId, Error> {
    ids::parse(text).map_err(|_| Error::not_found("user"))
}
