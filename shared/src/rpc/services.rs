//! Channels to the other functions and clients of AWS, configured by `PRODUCT_SERVICE_URL` and
//! `USER_SERVICE_URL`.

use http::uri::Authority;

use super::channel::Channel;
#[cfg(feature = "socket")]
use super::signature::CallersSecret;
#[cfg(feature = "lambda")]
use crate::runtime::aws::Aws;
#[cfg(feature = "socket")]
use crate::runtime::config::CALLERS_SECRET;
use crate::runtime::config::Variables;
#[cfg(feature = "socket")]
use crate::runtime::secrets;
use crate::values::clock::Clock;

/// Address of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceUrl {
    /// Function on Lambda, by name or ARN: `lambda:NAME`. Called through Lambda's Invoke API.
    Lambda(String),
    /// Function on a socket: `http://HOST:PORT` or `HOST:PORT`. Called by gRPC over HTTP/2.
    Http2(Authority),
}

impl ServiceUrl {
    /// Rule for [`Variables`].
    ///
    /// # Errors
    /// Message for an invalid URL, or one that needs a feature this binary was built without. It does not
    /// repeat the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(name) = url.strip_prefix("lambda:") {
            if name.is_empty() {
                return Err("must have a function's name or ARN after lambda:".to_owned());
            }
            if cfg!(not(feature = "lambda")) {
                return Err("lambda: needs a binary that was built with the feature `lambda`".to_owned());
            }
            return Ok(Self::Lambda(name.to_owned()));
        }
        let malformed = || "must be lambda:FUNCTION, http://HOST:PORT or HOST:PORT".to_owned();
        let authority = url.strip_prefix("http://").unwrap_or(url);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let authority: Authority = authority.parse().map_err(|_| malformed())?;
        if authority.port_u16().is_none() || authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(malformed());
        }
        if cfg!(not(feature = "socket")) {
            return Err("http:// needs a binary that was built with the feature `socket`".to_owned());
        }
        Ok(Self::Http2(authority))
    }
}

/// Factory of channels. Those to Lambda share one client.
pub struct Services {
    #[cfg_attr(
        not(any(feature = "lambda", feature = "socket")),
        expect(dead_code, reason = "without either feature there are no channels")
    )]
    clock: Clock,
    #[cfg(feature = "lambda")]
    aws: Option<Option<Aws>>,
    #[cfg(feature = "socket")]
    callers: Option<Option<CallersSecret>>,
}

impl Services {
    /// Creates a factory without a client yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            #[cfg(feature = "lambda")]
            aws: None,
            #[cfg(feature = "socket")]
            callers: None,
        }
    }

    /// Returns the settings of AWS clients, read once. `None` if that failed; the problem is recorded in
    /// `variables`.
    #[cfg(feature = "lambda")]
    pub fn aws(&mut self, variables: &mut Variables) -> Option<Aws> {
        self.aws.get_or_insert_with(|| Aws::read(variables)).clone()
    }

    /// Returns the secret that signs calls over sockets, read once. `None` if that failed; the problem is recorded
    /// in `variables`.
    #[cfg(feature = "socket")]
    fn callers(&mut self, variables: &mut Variables) -> Option<CallersSecret> {
        if self.callers.is_none() {
            let source = secrets::read(variables, self, CALLERS_SECRET.name, CallersSecret::check);
            self.callers = Some(source.map(|source| CallersSecret::new(source, None)));
        }
        self.callers.clone().flatten()
    }

    /// Creates the channel configured by the variable of this name. `None` if that failed; the problem is
    /// recorded in `variables`.
    pub fn channel(&mut self, variables: &mut Variables, name: &str) -> Option<Channel> {
        match variables.required(name, ServiceUrl::parse)? {
            #[cfg(feature = "socket")]
            ServiceUrl::Http2(authority) => {
                let http2 = super::http2::Http2::new(authority).signed_with(self.callers(variables)?);
                Some(Channel::over_http2(http2, self.clock.clone()))
            }
            url => self.unsigned(variables, url),
        }
    }

    /// Creates a channel as [`Self::channel`], for calls with tokens of users alone. It signs none, and so needs no
    /// `CALLERS_SECRET`.
    pub fn client_channel(&mut self, variables: &mut Variables, name: &str) -> Option<Channel> {
        let url = variables.required(name, ServiceUrl::parse)?;
        self.unsigned(variables, url)
    }

    fn unsigned(&mut self, variables: &mut Variables, url: ServiceUrl) -> Option<Channel> {
        // Without the feature `lambda` there are no settings of AWS.
        #[cfg(not(feature = "lambda"))]
        let _ = variables;
        match url {
            #[cfg(feature = "lambda")]
            ServiceUrl::Lambda(name) => {
                let function = super::lambda::LambdaFunction::new(self.aws(variables)?.lambda(), name);
                Some(Channel::new(std::sync::Arc::new(function), self.clock.clone()))
            }
            #[cfg(feature = "socket")]
            ServiceUrl::Http2(authority) => {
                Some(Channel::over_http2(super::http2::Http2::new(authority), self.clock.clone()))
            }
            // `parse` refuses URLs that need a missing feature.
            #[cfg(not(all(feature = "lambda", feature = "socket")))]
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_service_url_is_refused_without_repeating_it() {
        for bad in [
            "lambda:",
            "",
            "http://",
            "secret",
            "http://secret",
            "https://secret:443",
            "http://user:secret@host:1",
            "http://host:secret",
            "http://host:1/secret",
            "host:99999",
            ":50051",
            "arn:aws:lambda:eu-central-1:123456789012:function:secret",
        ] {
            let problem = ServiceUrl::parse(bad).expect_err(bad);
            assert!(problem.starts_with("must ") && !problem.contains("secret"), "{bad}: {problem}");
        }
    }

    #[cfg(feature = "socket")]
    #[test]
    fn a_bare_host_and_port_means_http() {
        let with_scheme = ServiceUrl::parse("http://products:50052").unwrap();
        assert_eq!(ServiceUrl::parse("products:50052"), Ok(with_scheme.clone()));
        assert_eq!(ServiceUrl::parse("http://products:50052/"), Ok(with_scheme));
        assert!(ServiceUrl::parse("[::1]:50052").is_ok());
    }

    #[cfg(feature = "socket")]
    #[test]
    fn calls_over_http2_need_the_secret_that_signs_them() {
        let with = |secret: Option<&'static str>| {
            let mut variables = Variables::from_fn(move |name| match name {
                "PRODUCT_SERVICE_URL" | "USER_SERVICE_URL" => Some("http://127.0.0.1:1".to_owned()),
                "CALLERS_SECRET" => secret.map(str::to_owned),
                _ => None,
            });
            let services = &mut Services::new(Clock::system());
            let urls = ["PRODUCT_SERVICE_URL", "USER_SERVICE_URL"];
            let channels = urls.map(|name| services.channel(&mut variables, name).is_some());
            (channels, variables.misconfigured().to_string())
        };
        let missing =
            "invalid environment: CALLERS_SECRET, CALLERS_SECRET_FILE or CALLERS_SECRET_ARN is required";
        assert_eq!(with(None), ([false, false], missing.to_owned()));
        let (channels, problem) = with(Some("short"));
        assert!(channels == [false, false] && problem.contains("CALLERS_SECRET: must have"), "{problem}");
        let (channels, problem) = with(Some("a secret of the tests, 32 bytes or more"));
        assert!(channels == [true, true] && problem == "invalid environment: ", "{problem}");
    }

    #[cfg(feature = "socket")]
    #[test]
    fn calls_of_users_need_no_secret() {
        let mut variables = Variables::from_fn(|name| {
            assert_eq!(name, "USER_SERVICE_URL");
            Some("http://127.0.0.1:1".to_owned())
        });
        let services = &mut Services::new(Clock::system());
        assert!(services.client_channel(&mut variables, "USER_SERVICE_URL").is_some());
    }

    #[cfg(feature = "lambda")]
    #[test]
    fn a_function_is_named_or_has_an_arn() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:products";
        assert_eq!(ServiceUrl::parse("lambda:products"), Ok(ServiceUrl::Lambda("products".to_owned())));
        let alias = "products:live";
        assert_eq!(ServiceUrl::parse("lambda:products:live"), Ok(ServiceUrl::Lambda(alias.to_owned())));
        assert_eq!(ServiceUrl::parse(&format!("lambda:{arn}")), Ok(ServiceUrl::Lambda(arn.to_owned())));
    }

    #[cfg(not(feature = "socket"))]
    #[test]
    fn http_without_the_feature_names_the_missing_one() {
        let mut variables = Variables::from_fn(|_| Some("http://127.0.0.1:50052".to_owned()));
        let services = &mut Services::new(Clock::system());
        assert!(services.channel(&mut variables, "PRODUCT_SERVICE_URL").is_none());
        let text = variables.misconfigured().to_string();
        assert!(text.contains("PRODUCT_SERVICE_URL: http:// needs"), "{text}");
    }

    #[cfg(not(feature = "lambda"))]
    #[test]
    fn lambda_without_the_feature_names_the_missing_one() {
        let mut variables = Variables::from_fn(|_| Some("lambda:products".to_owned()));
        let services = &mut Services::new(Clock::system());
        assert!(services.channel(&mut variables, "PRODUCT_SERVICE_URL").is_none());
        let text = variables.misconfigured().to_string();
        assert!(text.contains("PRODUCT_SERVICE_URL: lambda: needs"), "{text}");
    }
}
