//! Text that says how to use what is running.

use serde_json::json;

use crate::demo;
use crate::settings::Settings;
use crate::terminal::{print_ignoring_epipe, shell_quoted};

/// Argument of curl that is the body of a sign-in. A password of the environment is taken from there again.
fn sign_in_body(settings: &Settings) -> String {
    let Settings { admin_email, admin_password, password_is_given, .. } = settings;
    if !password_is_given {
        return shell_quoted(&json!({ "email": admin_email, "password": admin_password }).to_string());
    }
    // A text of JSON is one of Python, too.
    let email = json!(admin_email);
    let program = format!(
        r#"import json, os; print(json.dumps({{"email": {email}, "password": os.environ["ADMIN_PASSWORD"]}}))"#
    );
    format!(r#""$(python3 -c {})""#, shell_quoted(&program))
}

/// Prints the address and the accounts.
pub(crate) fn announce(base: &str, settings: &Settings, demo: demo::Demo, demo_withheld: bool) {
    let admin_email = &settings.admin_email;
    let admin_password =
        if settings.password_is_given { "(your ADMIN_PASSWORD)" } else { &settings.admin_password };
    let staff = if demo == demo::Demo::Present { "staff or admin" } else { "admin" };
    let mut text = format!(
        "ready {base}\n\ndocs      {base}/docs  read and try the API in a browser\nconsole   {base}/console  work with orders and products; sign in as {staff}\n\nadmin     {admin_email}  {admin_password}\n"
    );
    if demo == demo::Demo::Present {
        let password = demo::PASSWORD;
        text.push_str(&format!("staff     {}  {password}\n", demo::STAFF));
        text.push_str(&format!("customer  {}  {password}\n", demo::CUSTOMER));
    }
    if demo_withheld {
        text.push_str(
            "\nno demo data: MONGO_URI is not on this machine, and the passwords of demo users are published\n",
        );
    }
    let sign_in = sign_in_body(settings);
    text.push_str(&format!(
        r#"
To paste into another terminal:

curl -s '{base}/products?limit=2'
TOKEN=$(curl -s {base}/auth -H 'content-type: application/json' -d {sign_in} | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
curl -s '{base}/orders?limit=1' -H "authorization: Bearer $TOKEN"

Ctrl-C stops everything."#
    ));
    print_ignoring_epipe(text);
}
