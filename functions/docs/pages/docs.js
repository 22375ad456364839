// What happens on the docs page: Swagger UI in our order, the table of contents, and signing in. The access token is
// kept in this page alone, and is gone when it is closed or loaded again.
"use strict";

const byId = (id) => document.getElementById(id);
// Path before all paths of the API, such as /v1; mostly empty.
const base = document.documentElement.dataset.basePath ?? "";
let ui;
let scheme;
let session;

// The colours follow those of the system, as the rest of the page does.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// On a narrow screen the contents would hide all else.
if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".contents").open = false;

function listRoutes(description) {
  const tags = (description.tags ?? []).map((tag) => tag.name);
  const groups = new Map(tags.map((tag) => [tag, []]));
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (!operation.responses) continue;
      const tag = operation.tags?.[0] ?? "default";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, operation, tag });
    }
  }
  for (const [tag, routes] of groups) {
    if (routes.length === 0) continue;
    const heading = document.createElement("h2");
    heading.textContent = tag;
    const list = document.createElement("ul");
    for (const route of routes) list.append(linkTo(route));
    byId("routes").append(heading, list);
  }
}

function linkTo({ path, method, operation, tag }) {
  const link = document.createElement("a");
  link.href = `#/${encodeURIComponent(tag)}/${operation.operationId}`;
  const verb = document.createElement("span");
  verb.className = `verb ${method}`;
  verb.textContent = method.toUpperCase();
  link.append(verb, operation.summary ?? path);
  link.title = path;
  link.addEventListener("click", () => {
    ui.layoutActions.show(["operations", tag, operation.operationId], true);
    const row = byId(`operations-${tag.replace(/\s/g, "_")}-${operation.operationId}`);
    row?.scrollIntoView({ behavior: "smooth", block: "start" });
    if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".contents").open = false;
  });
  const item = document.createElement("li");
  item.append(link);
  return item;
}

const bearerOf = (description) => {
  const schemes = Object.entries(description.components?.securitySchemes ?? {});
  return schemes.find(([, { type, scheme }]) => type === "http" && scheme.toLowerCase() === "bearer")?.[0];
};

async function open() {
  const description = await (await fetch(`${base}/openapi.json`)).json();
  // What is tried here is tried here, whatever other servers the description may name.
  description.servers = [{ url: location.origin + base }];
  scheme = bearerOf(description);
  listRoutes(description);
  await new Promise((shown) => {
    ui = SwaggerUIBundle({
      spec: description,
      dom_id: "#api",
      deepLinking: true,
      displayRequestDuration: true,
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      defaultModelExpandDepth: 3,
      tryItOutEnabled: true,
      validatorUrl: null,
      syntaxHighlight: { theme: "nord" },
      onComplete: shown,
    });
  });
  document.body.dataset.ready = "true";
}

async function post(path, body) {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  const json = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error(json.detail ?? `${path} answered ${answer.status}`);
  return json;
}

function say(message) {
  byId("sign-in-message").textContent = message;
}

/** Takes the tokens of an answer, and gets the next ones before they run out. */
function take(tokens, email) {
  clearTimeout(session?.timer);
  ui.preauthorizeApiKey(scheme, tokens.access_token);
  const seconds = Math.max(tokens.expires_in - 60, 5);
  const timer = setTimeout(() => renew(), Math.min(seconds, 86400) * 1000);
  session = { email, refresh: tokens.refresh_token, timer };
  byId("who").textContent = email;
  byId("sign-in").hidden = true;
  byId("signed-in").hidden = false;
}

async function renew() {
  const { refresh, email } = session;
  try {
    if (!refresh) throw new Error("Your access token has run out.");
    take(await post("/auth/refresh", { refresh_token: refresh }), email);
  } catch (error) {
    leave();
    say(`${error.message} Sign in again.`);
  }
}

function leave() {
  clearTimeout(session?.timer);
  session = undefined;
  ui.authActions.logout([scheme]);
  byId("sign-in").hidden = false;
  byId("signed-in").hidden = true;
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  say("");
  try {
    take(await post("/auth", { email: email.value, password: password.value }), email.value);
    password.value = "";
  } catch (error) {
    say(error.message);
  }
});

byId("sign-out").addEventListener("click", () => {
  const refresh = session?.refresh;
  leave();
  if (refresh) post("/auth/logout", { refresh_token: refresh }).catch((error) => say(error.message));
});

// `cargo local` has users whose password everybody knows; a server elsewhere has not.
if (["127.0.0.1", "localhost", "[::1]"].includes(location.hostname)) {
  byId("demo").hidden = false;
  byId("demo").addEventListener("click", ({ target }) => {
    if (!target.dataset.email) return;
    const form = byId("sign-in");
    form.elements.email.value = target.dataset.email;
    form.elements.password.value = "coffee and tea";
    form.requestSubmit();
  });
}

open();
