// Tries the console as its users do, in Chromium: `node .ci/console.mjs URL PICTURES [NAME…]`, with playwright-core and
// axe-core on the path of modules, and ADMIN_PASSWORD, against a `cargo local` with demo data. Names choose journeys
// and pages. It fails on any violation of the pages' policy, any error in the browser's console, any request to another
// host, anything wider than its window, any barrier that axe finds, and any page above its size.
import { createRequire } from "node:module";
import { mkdir } from "node:fs/promises";

import { conflict } from "./console-page/conflict.mjs";
import { find } from "./console-page/find.mjs";
import { order } from "./console-page/order.mjs";
import { look } from "./console-page/pages.mjs";
import { depict } from "./console-page/readme.mjs";
import { Shop } from "./console-page/shop.mjs";
import { signIn } from "./console-page/sign-in.mjs";
import { stock } from "./console-page/stock.mjs";
import { why } from "./console-page/why.mjs";
import { Window } from "./console-page/window.mjs";

/** What people do, by name. Each is done with JavaScript and without. */
const JOURNEYS = {
  "journey-sign-in": signIn,
  "journey-find": find,
  "journey-order": order,
  "journey-stock": stock,
  "journey-conflict": conflict,
  "journey-why": why,
};

const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");
const [base, pictures, ...only] = process.argv.slice(2);
await mkdir(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Chromium's own sandbox does not run as root, as checks often do; what it opens is ours alone.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  // Pages that the back button shows are those that people would see.
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
});
/** What is wrong. A run names all of it. */
const faults = [];
const site = { browser, base, pictures, faults };
const shop = await Shop.open(base);

/** Cookies of a new session. */
async function session(...credentials) {
  const window = await Window.open(site);
  await window.go("/console/sign-in");
  await window.signIn(...credentials);
  const cookies = await window.session();
  await window.close();
  return cookies;
}
const sessions = {
  session: await session(),
  adminSession: await session("admin@example.com", process.env.ADMIN_PASSWORD),
};

const isChosen = (name) => only.length === 0 || only.includes(name);
const chosen = Object.keys(JOURNEYS).filter(isChosen);
/** Does all chosen journeys, one after the other. */
async function travel(javaScript) {
  for (const journey of chosen) {
    const name = `${journey}-${javaScript ? "with" : "without"}-scripts`;
    const began = performance.now();
    try {
      await JOURNEYS[journey]({ site, shop, javaScript, name, ...sessions });
    } catch (error) {
      faults.push(`${name}: ${error.stack}`);
    }
    console.log(`${name}: ${Math.round(performance.now() - began)} ms`);
  }
}
// Both at once, as no journey touches what another one has made.
await Promise.all([travel(true), travel(false)]);
const seen = only.includes("pictures")
  ? await depict({ site, shop, ...sessions })
  : await look({ site, shop, only, ...sessions });

await browser.close();
if (faults.length > 0) {
  console.error(faults.join("\n\n"));
  throw new Error(`${faults.length} faults; pictures are in ${pictures}`);
}
if (chosen.length + seen.length === 0) throw new Error(`${only.join(", ")}: no journey and no page has this name`);
console.log(`${chosen.length} journeys and ${seen.length} pages are as they should be; pictures are in ${pictures}`);
