// Tries the docs page as its users do, in Chromium: `node .ci/docs-page.mjs URL SCREENSHOTS`, with playwright-core on
// the path of modules, against a `cargo local` with demo data. It fails on any violation of the page's policy, any
// error in the console, any request to another host, any route that is not listed, and any answer that is not shown.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdir } from "node:fs/promises";

const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");
const [base, pictures] = process.argv.slice(2);
const at = (path) => new URL(base).pathname.replace(/\/$/, "") + path;
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
await mkdir(pictures, { recursive: true });

// Chromium's own sandbox does not run as root, as checks often do; what it opens is ours alone.
const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });

/** A page that remembers what must not happen. */
async function visit(path, { width, colorScheme }) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
  page.wrong = [];
  page.on("console", (message) => {
    // A violation of the policy is an error there too.
    if (["error", "warning"].includes(message.type())) page.wrong.push(message.text());
  });
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("request", (request) => {
    const elsewhere = !request.url().startsWith(`${base}/`) && !request.url().startsWith("data:");
    if (elsewhere) page.wrong.push(`requests ${request.url()}`);
  });
  const answer = await page.goto(base + path);
  assert.equal(answer.status(), 200, path);
  return page;
}

async function close(page, { expected = [] } = {}) {
  assert.deepEqual(page.wrong.filter((text) => !expected.some((known) => text.includes(known))), []);
  await page.close();
}

/** Nothing is cut off: the page is no wider than the window. */
async function fits(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${page.url()} is ${content} px wide in a window of ${window}`);
}

const ready = (page) => page.waitForSelector("body[data-ready]");
const picture = (page, name, fullPage = false) => page.screenshot({ path: `${pictures}/${name}.png`, fullPage });

/** Opens an operation, and gives its element. */
async function opened(page, method, path) {
  const operation = page.locator(`.opblock-${method}`).filter({ has: page.locator(`[data-path="${path}"]`) });
  await operation.locator(".opblock-summary-control").click();
  await operation.locator(".execute").waitFor();
  return operation;
}

/** Sends what is filled in, and gives the status and the body of the answer that is shown. */
async function executed(operation) {
  // What an earlier one has shown.
  const clear = operation.locator(".btn-clear");
  if (await clear.isVisible()) await clear.click();
  await operation.locator(".execute").click();
  const row = operation.locator(".live-responses-table .response");
  await row.waitFor();
  const status = Number(await row.locator(".response-col_status").innerText().then((text) => text.trim().split(/\s/)[0]));
  const body = await row.locator("pre code, pre.microlight").first().innerText();
  return { status, body };
}

// A browser is led from the root to the page.
let page = await visit("/", { width: 1440, colorScheme: "light" });
assert.equal(new URL(page.url()).pathname, at("/docs"));
await ready(page);

// Every route of the description is listed, at the left and with all that belongs to it.
const description = await (await fetch(`${base}/openapi.json`)).json();
const routes = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.keys(methods)
    .filter((method) => ["get", "post", "put", "delete", "patch"].includes(method))
    .map((method) => `${method} ${path}`),
);
const shown = await page.locator(".opblock").evaluateAll((blocks) =>
  blocks.map((block) => {
    const method = block.querySelector(".opblock-summary-method").textContent.toLowerCase();
    return `${method} ${block.querySelector(".opblock-summary-path").dataset.path}`;
  }),
);
assert.deepEqual(shown.toSorted(), routes.toSorted());
assert.equal(await page.locator("#routes a").count(), routes.length);
assert.ok(routes.length >= 20);
await fits(page);
await picture(page, "wide-light");
await picture(page, "wide-light-whole", true);

// Whoever does not sign in is told how.
let operation = await opened(page, "get", "/orders");
let answer = await executed(operation);
assert.equal(answer.status, 401);
assert.equal(JSON.parse(answer.body).type, at("/problems/unauthenticated"));
await operation.locator(".opblock-summary-control").click();

// A wrong password is told, and the right one signs in.
await page.fill("#sign-in [name=email]", "ada@example.com");
await page.fill("#sign-in [name=password]", "not this one");
await page.click("#sign-in button");
await page.waitForFunction(() => document.querySelector("#sign-in-message").textContent !== "");
await page.fill("#sign-in [name=password]", "coffee and tea");
await page.click("#sign-in button");
await page.locator("#signed-in").waitFor({ state: "visible" });
assert.equal(await page.locator("#who").innerText(), "ada@example.com");

operation = await opened(page, "get", "/orders");
answer = await executed(operation);
assert.equal(answer.status, 200);
const orders = JSON.parse(answer.body).data.length;
assert.ok(orders > 0);
await operation.scrollIntoViewIfNeeded();
await picture(page, "orders-light");
await operation.locator(".opblock-summary-control").click();

// Ada orders something that there is.
const products = await (await fetch(`${base}/products?limit=100`)).json();
const product = products.data.find(({ stock }) => stock.available > 0);
const order = {
  items: [{ product_id: product.id, quantity: 1 }],
  shipping_address: { line1: "1 Analytical Way", city: "London", country: "GB" },
};
operation = await opened(page, "post", "/orders");
await operation.locator("textarea.body-param__text").fill(JSON.stringify(order));
answer = await executed(operation);
assert.equal(answer.status, 201, answer.body);
assert.equal(JSON.parse(answer.body).items[0].product_id, product.id);
await operation.scrollIntoViewIfNeeded();
await picture(page, "place-order-light", true);
await operation.locator(".opblock-summary-control").click();

// Signed out, nobody is signed in.
await page.click("#sign-out");
operation = await opened(page, "get", "/orders");
assert.equal((await executed(operation)).status, 401);
// The browser itself says of each refusal that it is one.
await close(page, { expected: ["the server responded with a status of 401"] });

// Dark, and narrow.
for (const [name, options] of [
  ["wide-dark", { width: 1440, colorScheme: "dark" }],
  ["narrow-light", { width: 390, colorScheme: "light" }],
  ["narrow-dark", { width: 390, colorScheme: "dark" }],
]) {
  page = await visit("/docs", options);
  await ready(page);
  await fits(page);
  await picture(page, name);
  await picture(page, `${name}-whole`, true);
  // With one click, as whoever the demo data has.
  await page.click("#demo button");
  await page.locator("#signed-in").waitFor({ state: "visible" });
  operation = await opened(page, "get", "/orders");
  assert.equal((await executed(operation)).status, 200);
  await operation.scrollIntoViewIfNeeded();
  await fits(page);
  await picture(page, `${name}-orders`);
  await close(page);
}

// The catalogue, in the same look.
for (const [name, options] of [
  ["problems-light", { width: 1440, colorScheme: "light" }],
  ["problems-dark", { width: 390, colorScheme: "dark" }],
]) {
  page = await visit("/problems", options);
  await fits(page);
  await picture(page, name, true);
  await page.click(`a[href="${at("/problems/insufficient-stock")}"]`);
  await page.waitForURL("**/problems/insufficient-stock");
  assert.match(await page.locator("h1").innerText(), /stock/);
  await fits(page);
  await picture(page, `${name}-one`, true);
  await close(page);
}

await browser.close();
console.log(`${routes.length} routes are listed and can be tried; pictures are in ${pictures}`);
