//! The console over real HTTP, by a browser without JavaScript.
//!
//! It keeps cookies, follows no redirect by itself, and sends the forms of pages with all of their fields.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use http::{HeaderMap, Method, header};
use tests::in_process::InProcess;
use tests::person::{PASSWORD, Person};

mod health;
mod live;
mod order;
mod orders;
mod products;
mod shipping;
mod sign_in;
mod users;

/// A shop with its console.
pub(crate) struct Site {
    pub(crate) shop: InProcess,
    /// URL of the server, without a path.
    pub(crate) base: String,
    http: reqwest::Client,
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::of(InProcess::open().await)
    }

    pub(crate) fn of(shop: InProcess) -> Self {
        let base = shop.base.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { shop, base, http }
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser { http: self.http.clone(), base: self.base.clone(), cookies: BTreeMap::new() }
    }

    /// A browser in which this person has signed in.
    pub(crate) async fn signed_in(&self, person: &Person) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(&person.email, PASSWORD).await.expect(303);
        browser
    }

    /// A browser in which a new member of the staff has signed in.
    pub(crate) async fn staff(&self) -> Browser {
        self.signed_in(&self.shop.staff().await).await
    }
}

/// A browser. Its clone has the same cookies at first, as a copy of them has.
#[derive(Clone)]
pub(crate) struct Browser {
    http: reqwest::Client,
    base: String,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    /// GET
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[]).await
    }

    /// POST of these fields and no others, as a page of the console sends them.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(String, String)]) -> Page {
        let origin = self.base.clone();
        self.send(Method::POST, path, Some(fields), &[("origin", &origin)]).await
    }

    /// POST of a page's first form with this action: all of its fields, and these instead of its own.
    pub(crate) async fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let fields = filled(page.form(action), fields);
        self.post(action, &fields).await
    }

    /// Fills in the form to sign in.
    pub(crate) async fn sign_in(&mut self, email: &str, password: &str) -> Page {
        let page = self.get(SIGN_IN).await.expect(200);
        self.submit(&page, SIGN_IN, &[("email", email), ("password", password)]).await
    }

    /// Any request, with headers of its own.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        fields: Option<&[(String, String)]>,
        headers: &[(&str, &str)],
    ) -> Page {
        let described = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            request = request.header(header::COOKIE, cookies.collect::<Vec<_>>().join("; "));
        }
        if let Some(fields) = fields {
            let body = Serializer::new(String::new()).extend_pairs(fields).finish();
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for cookie in headers.get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        Page { request: described, status, headers, text: answer.text().await.unwrap() }
    }

    /// Keeps a cookie, or forgets it.
    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').unwrap();
        if attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

pub(crate) const SIGN_IN: &str = "/console/sign-in";
pub(crate) const SIGN_OUT: &str = "/console/sign-out";
pub(crate) const ORDERS: &str = "/console/orders";

/// Fields of a form, with these instead of its own.
pub(crate) fn filled(mut form: Vec<(String, String)>, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    form.retain(|(name, _)| fields.iter().all(|(other, _)| name != other));
    form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    form
}

/// A page, or another answer of the console.
pub(crate) struct Page {
    /// Request that it answers, for messages.
    request: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// The page, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {:?}\n{}", self.request, self.headers, self.text);
        self
    }

    /// Asserts that this is a redirect to a path.
    #[track_caller]
    pub(crate) fn leads_to(&self, path: &str) {
        assert_eq!((self.status, self.header("location")), (303, Some(path)), "{}", self.request);
    }

    /// Text of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that the page shows a text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        let escaped = escaped(text);
        assert!(self.text.contains(&escaped), "{}: no {escaped:?} in\n{}", self.request, self.text);
    }

    /// True if the page shows a text.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.text.contains(&escaped(text))
    }

    /// Values of an attribute of all elements of a name.
    pub(crate) fn attributes(&self, element: &str, name: &str) -> Vec<String> {
        tags(&self.text, element).filter_map(|(tag, _)| attribute(tag, name)).collect()
    }

    /// True if an element of this name has an attribute, with any value or none.
    pub(crate) fn has_attribute(&self, element: &str, name: &str) -> bool {
        !self.attributes(element, name).is_empty()
    }

    /// Texts of the links that are marked as the page which is shown.
    pub(crate) fn current(&self) -> Vec<String> {
        let links = tags(&self.text, "a");
        let current = links.filter(|(tag, _)| attribute(tag, "aria-current").as_deref() == Some("page"));
        current.map(|(_, rest)| unescaped(rest.split('<').next().unwrap_or_default())).collect()
    }

    /// Target of the link with this text.
    #[track_caller]
    pub(crate) fn link(&self, text: &str) -> String {
        let end = format!("{}</a>", escaped(text));
        let link = tags(&self.text, "a").find(|(_, rest)| rest.starts_with(&end));
        let target = link.and_then(|(tag, _)| attribute(tag, "href"));
        target.unwrap_or_else(|| panic!("{}: no link {text:?} in\n{}", self.request, self.text))
    }

    /// True if there is a link with this text.
    pub(crate) fn has_link(&self, text: &str) -> bool {
        self.text.contains(&format!(">{}</a>", escaped(text)))
    }

    /// Fields of the first form with this action, as a browser would send them unchanged.
    #[track_caller]
    pub(crate) fn form(&self, action: &str) -> Vec<(String, String)> {
        let form = self.forms(action).into_iter().next();
        form.unwrap_or_else(|| panic!("{}: no form {action} in\n{}", self.request, self.text))
    }

    /// The same of all forms with this action.
    pub(crate) fn forms(&self, action: &str) -> Vec<Vec<(String, String)>> {
        let forms = tags(&self.text, "form");
        let forms = forms.filter(|(tag, _)| attribute(tag, "action").as_deref() == Some(action));
        forms.map(|(_, rest)| fields(rest.split("</form>").next().unwrap_or_default())).collect()
    }
}

/// Tags of an element, and all that follows each.
fn tags<'a>(html: &'a str, element: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let (opening, mut rest) = (format!("<{element}"), html);
    std::iter::from_fn(move || {
        loop {
            rest = rest.get(rest.find(&opening)? + opening.len()..)?;
            // Values of attributes have `>` as `&gt;`.
            if rest.starts_with([' ', '>']) {
                return rest.split_once('>');
            }
        }
    })
}

/// Value of an attribute of a tag; empty if it has none.
fn attribute(tag: &str, name: &str) -> Option<String> {
    if let Some(place) = tag.find(&format!(" {name}=\"")) {
        return tag.get(place..)?.split('"').nth(1).map(unescaped);
    }
    tag.split(' ').any(|word| word == name).then(String::new)
}

/// Fields of a form that a browser would send, by the kind of their elements.
fn fields(form: &str) -> Vec<(String, String)> {
    let inputs = tags(form, "input").filter_map(|(tag, _)| {
        let kind = attribute(tag, "type").unwrap_or_default();
        let is_choice = kind == "checkbox" || kind == "radio";
        let is_sent = !is_choice || attribute(tag, "checked").is_some();
        let default = if is_choice { "on" } else { "" };
        let value = attribute(tag, "value").unwrap_or_else(|| default.to_owned());
        is_sent.then_some((attribute(tag, "name")?, value))
    });
    let areas = tags(form, "textarea").filter_map(|(tag, rest)| {
        let text = rest.split("</textarea>").next()?;
        Some((attribute(tag, "name")?, unescaped(text)))
    });
    let selects = tags(form, "select").filter_map(|(tag, rest)| {
        let options: Vec<_> = tags(rest.split("</select>").next()?, "option").collect();
        let chosen = options.iter().find(|(option, _)| attribute(option, "selected").is_some());
        let (option, text) = chosen.or(options.first())?;
        let value = attribute(option, "value").or_else(|| text.split('<').next().map(unescaped))?;
        Some((attribute(tag, "name")?, value))
    });
    inputs.chain(areas).chain(selects).collect()
}

/// Text as it stands in a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescaped(html: &str) -> String {
    html.replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
}

#[test]
fn a_form_is_read_as_a_browser_does() {
    let html = "<form action=\"/a\"><input name=\"no\" value=\"1\"></form><form action=\"/b?c&amp;d\">\
                <input type=\"hidden\" name=\"one\" value=\"&lt;&quot;&gt;\"><input name=\"two\" required>\
                <input type=\"checkbox\" name=\"three\" value=\"x\"><input type=\"checkbox\" name=\"three\" \
                value=\"y\" checked><textarea name=\"four\">a\n&amp;</textarea><select name=\"five\">\
                <option value=\"p\">P</option><option value=\"q\" selected>Q</option></select><button>Go\
                </button></form>";
    let (request, headers) = (String::new(), HeaderMap::new());
    let page = Page { request, status: 200, headers, text: html.to_owned() };
    let expected = [("one", "<\">"), ("two", ""), ("three", "y"), ("four", "a\n&"), ("five", "q")];
    assert_eq!(page.form("/b?c&d"), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(page.attributes("option", "value"), ["p", "q"]);
}
