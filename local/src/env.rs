//! `cargo local env`: the environment of the deployed programs on this machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::database::{Note, connect};
use crate::docker;
use crate::error::CommandError;
use crate::run::{checkout, data_folder};
use crate::settings::{self, Settings};
use crate::terminal::{print_ignoring_epipe, shell_quoted};

/// Default port of `cargo lambda watch`.
pub const LAMBDA_PORT: u16 = 9000;

/// Default port of `sam local start-lambda`.
pub const SAM_LAMBDA_PORT: u16 = 3001;

/// Default Docker network of `sam local`.
pub const DOCKER_NETWORK: &str = "oms";

/// Time limit for a MongoDB to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// File for `sam local --env-vars`, in the checkout.
const SAM_FILE: &str = "local/env.json";

/// Limits of what one customer may do. On this machine there are none unless the environment names them.
const CUSTOMER_LIMITS: [&str; 2] = ["MAX_OPEN_ORDERS", "ORDER_RATE_PER_CUSTOMER"];

/// Returns the variables of all functions, for an emulator of Lambda at this URL.
///
/// Other variables of a function, such as `ORDER_PAYMENT_WINDOW`, are inherited.
pub fn variables(mongo_uri: &str, settings: &Settings, endpoint: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("MONGO_URI", mongo_uri.to_owned()),
        ("JWT_SECRET", settings.jwt_secret.clone()),
        ("CONSOLE_SECRET", settings.console_secret()),
        // On this machine all requests come from one address.
        ("RATE_LIMIT_PER_ADDRESS", "0".to_owned()),
        ("ORDER_SERVICE_URL", "lambda:orders".to_owned()),
        ("PRODUCT_SERVICE_URL", "lambda:products".to_owned()),
        ("USER_SERVICE_URL", "lambda:users".to_owned()),
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint.to_owned()),
        // Placeholders: an emulator checks no signature, and absent credentials cannot be misused.
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", String::new()),
    ];
    variables.extend(
        CUSTOMER_LIMITS.map(|name| (name, settings::set_variable(name).unwrap_or_else(|| "0".to_owned()))),
    );
    variables
}

/// Returns the variables that `sam local` passes to a function, if template.yaml declares them for it.
///
/// The template contains the rest, and `sam local` makes up credentials itself.
pub fn for_sam(mongo_uri: &str, settings: &Settings, endpoint: &str) -> Vec<(&'static str, String)> {
    let all = variables(mongo_uri, settings, endpoint).into_iter();
    let of_template = all.filter(|(name, _)| {
        ["MONGO_URI", "JWT_SECRET", "CONSOLE_SECRET", "RATE_LIMIT_PER_ADDRESS", "AWS_ENDPOINT_URL_LAMBDA"]
            .contains(name)
            || CUSTOMER_LIMITS.contains(name)
    });
    // No CloudWatch reads the lines of metrics here.
    of_template.chain([("METRICS_NAMESPACE", String::new())]).collect()
}

/// Rewrites a connection string for containers, which reach this machine at `gateway`.
///
/// A connection string to another machine stays as it is.
pub fn for_containers(uri: &str, gateway: IpAddr) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "27017"));
    if !matches!(name, "127.0.0.1" | "localhost") {
        return uri.to_owned();
    }
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    // The replica set lists an address that containers cannot reach.
    let kept = options.split('&').filter(|it| !it.is_empty() && !it.starts_with("replicaSet="));
    let options: Vec<&str> = kept.chain(["directConnection=true"]).collect();
    let host = SocketAddr::new(gateway, port.parse().unwrap_or(27017));
    let path = if path.is_empty() { "/" } else { path };
    format!("{scheme}://{user}{host}{path}?{}", options.join("&"))
}

/// Prints the variables as shell commands, for `eval "$(cargo local env)"`.
///
/// # Errors
/// If no MongoDB is running.
pub async fn run(data: Option<PathBuf>, port: u16) -> Result<(), CommandError> {
    let (settings, uri) = running(data).await?;
    print(variables(&uri, &settings, &format!("http://127.0.0.1:{port}")));
    Ok(())
}

/// Writes `local/env.json` for `sam local`, and prints the variables that its command lines need.
///
/// Use it as `eval "$(cargo local env --sam)"`.
///
/// # Errors
/// If no MongoDB is running, or containers cannot reach it, or there is no image.
pub async fn run_for_sam(data: Option<PathBuf>, port: u16, network: &str) -> Result<(), CommandError> {
    docker::check().await?;
    let gateway = docker::gateway(network).await?;
    let (settings, uri) = running(data).await?;
    let uri = for_containers(&uri, gateway);
    if !listens(&uri).await {
        return Err(CommandError::new(format!(
            "MongoDB does not listen at {gateway}, where containers look for it"
        ))
        .advice(format!("Restart it as: cargo local --docker-network {network}")));
    }
    let image = docker::base_image().await?;
    let endpoint = format!("http://{}", SocketAddr::new(gateway, port));
    let variables: serde_json::Map<_, _> = for_sam(&uri, &settings, &endpoint)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let path = checkout().join(SAM_FILE);
    // It contains secrets.
    settings::write_private(&path, &format!("{:#}\n", serde_json::json!({ "Parameters": variables })))
        .map_err(|error| CommandError::new(format!("{} cannot be written: {error}", path.display())))?;
    print(vec![("HOST_FOR_CONTAINERS", gateway.to_string()), ("BASE_IMAGE", image)]);
    Ok(())
}

/// Returns the secrets, and the connection string of the running database.
pub(crate) async fn running(data: Option<PathBuf>) -> Result<(Settings, String), CommandError> {
    let folder = data_folder(data)?;
    let settings = Settings::load(&folder)?;
    let uri = match settings::set_variable("MONGO_URI") {
        Some(uri) => uri,
        None => match Note::read(&folder) {
            Some(uri) if answers(&uri).await => uri,
            _ => {
                return Err(CommandError::new(
                    "no MongoDB is running for this folder, and MONGO_URI is not set",
                )
                .advice("Start one in another terminal (cargo local), or set MONGO_URI."));
            }
        },
    };
    Ok((settings, uri))
}

fn print(variables: Vec<(&'static str, String)>) {
    for (name, value) in variables {
        print_ignoring_epipe(format_args!("export {name}={}", shell_quoted(&value)));
    }
}

/// Returns true if the MongoDB of a connection string answers and accepts the password.
///
/// A killed run leaves its file. Another program may have the port by now, such as the MongoDB of another shop.
async fn answers(uri: &str) -> bool {
    // The driver would look for it until its time limit.
    if !listens(uri).await {
        return false;
    }
    let ping = async { connect(uri).await.ok()?.run_command(doc! { "ping": 1 }).await.ok() };
    matches!(timeout(ANSWER, ping).await, Ok(Some(_)))
}

/// Returns true if the first host of a connection string accepts connections.
async fn listens(uri: &str) -> bool {
    let Ok(options) = ClientOptions::parse(uri).await else { return false };
    let Some(host) = options.hosts.first() else { return false };
    matches!(timeout(ANSWER, TcpStream::connect(host.to_string())).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_reach_this_machine_at_the_gateway() {
        let gateway = IpAddr::from([172, 18, 0, 1]);
        for (uri, expected) in [
            ("mongodb://127.0.0.1:1/oms?replicaSet=rs0", "mongodb://172.18.0.1:1/oms?directConnection=true"),
            (
                "mongodb://me:it@localhost/oms?replicaSet=rs0&tls=true",
                "mongodb://me:it@172.18.0.1:27017/oms?tls=true&directConnection=true",
            ),
            ("mongodb://127.0.0.1:1", "mongodb://172.18.0.1:1/?directConnection=true"),
            (
                "mongodb://me:it@127.0.0.1:1/oms?replicaSet=rs0&authSource=admin",
                "mongodb://me:it@172.18.0.1:1/oms?authSource=admin&directConnection=true",
            ),
            ("mongodb+srv://me:it@cluster.example.net/oms", "mongodb+srv://me:it@cluster.example.net/oms"),
            ("mongodb://a:1,b:2/?replicaSet=rs0", "mongodb://a:1,b:2/?replicaSet=rs0"),
        ] {
            assert_eq!(for_containers(uri, gateway), expected);
        }
    }
}
