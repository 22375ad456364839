// A window of the browser that remembers what must not happen in it, and the checks of what it shows.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { PASSWORD, STAFF } from "./shop.mjs";

const AXE = createRequire(`${process.cwd()}/`)("axe-core").source;

/** All rules of WCAG 2.2, levels A and AA, and what is good practice beyond them. */
const RULES = {
  // It would fetch style sheets, which the page's policy forbids; the computed styles are there anyway.
  preload: false,
  resultTypes: ["violations"],
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  // Off by default.
  rules: { "target-size": { enabled: true } },
};

export class Window {
  #expected = [];
  #wrong = [];

  /** Opens a window with no page. `session` has the cookies of one that has signed in. */
  static async open(site, { javaScript = true, session, colorScheme = "light", width = 1280 } = {}) {
    const window = new Window();
    Object.assign(window, { site, javaScript });
    window.context = await site.browser.newContext({
      baseURL: site.base,
      colorScheme,
      javaScriptEnabled: javaScript,
      reducedMotion: "reduce",
      storageState: session,
      viewport: { width, height: 900 },
    });
    window.context.setDefaultTimeout(30_000);
    window.page = await window.context.newPage();
    // A page cannot refuse it, as it could a script element.
    if (javaScript) await window.page.addInitScript(AXE);
    window.#watch();
    return window;
  }

  #watch() {
    this.page.on("console", (message) => {
      // A violation of the policy is an error there too.
      if (["error", "warning"].includes(message.type())) this.#wrong.push(`${this.page.url()}: ${message.text()}`);
    });
    this.page.on("pageerror", (error) => this.#wrong.push(String(error)));
    this.page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.site.base}/`)) this.#wrong.push(`requests ${url}`);
    });
  }

  /** Says that a refusal of this status comes: the browser reports it as an error. */
  expect(status) {
    this.#expected.push(`the server responded with a status of ${status}`);
  }

  async close() {
    await this.context.close();
    const isKnown = (text) => this.#expected.some((known) => text.includes(known));
    this.site.faults.push(...this.#wrong.filter((text) => !isKnown(text)));
  }

  /** Opens a page, which must have this status. */
  async go(path, status = 200) {
    if (status >= 400) this.expect(status);
    const answer = await this.page.goto(path);
    assert.equal(answer.status(), status, path);
    return answer;
  }

  /** Signs in by the form of the page that is shown. */
  async signIn(email = STAFF, password = PASSWORD) {
    await this.page.getByLabel("E-mail address").fill(email);
    await this.page.getByLabel("Password").fill(password);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.getByRole("button", { name: "Sign out" }).waitFor();
  }

  /** Cookies of this window, for others. */
  session() {
    return this.context.storageState();
  }

  /** Path of the page that is shown, without its query. */
  path() {
    return new URL(this.page.url()).pathname;
  }

  /** Form with this action. */
  form(action) {
    return this.page.locator(`form[action$="${action}"]`);
  }

  /** Opens what is folded away below this summary. */
  async unfold(summary, within = this.page) {
    await within.locator("summary", { hasText: summary }).click();
  }

  /** Opens all that is folded away below summaries with this text; with "" all that there is. */
  async unfoldAll(text) {
    for (const summary of await this.page.locator("summary", { hasText: text }).all()) await summary.click();
  }

  /** Sends a form by its button, and waits for the page that says so. */
  async send(form, button, said) {
    await form.getByRole("button", { name: button }).click();
    await this.says(said);
  }

  /** The page says this as the outcome. */
  async says(text) {
    const outcome = this.page.locator('[role="status"], [role="alert"]');
    await outcome.filter({ hasText: text }).first().waitFor();
  }

  /** The page shows this text. */
  async shows(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** Nothing is wider than the window. Then the same for barriers, where scripts run; and a picture. */
  async check(name, { widths = [1280], pictures = widths } = {}) {
    for (const width of widths) {
      await this.page.setViewportSize({ width, height: 900 });
      await this.#fits(`${name} in ${width} px`);
      // Barriers depend on the narrow form or the wide one, not on how wide.
      if (this.javaScript && width <= 1280) await this.#isAccessible(`${name} in ${width} px`);
      if (pictures.includes(width)) {
        await this.page.evaluate(() => scrollTo(0, 0));
        await this.page.screenshot({ path: `${this.site.pictures}/${name}-${width}.png`, fullPage: true });
      }
    }
  }

  async #fits(name) {
    const wide = await this.page.evaluate(() => {
      const style = (it) => getComputedStyle(it);
      const isWide = (it) => it.scrollWidth > it.clientWidth + 1;
      // What scrolls by itself would hide that it is too wide. Fields may.
      const scrolls = (it) => ["auto", "scroll"].includes(style(it).overflowX) || it.matches("html");
      const all = [...document.querySelectorAll("html, body, body *:not(input, select, textarea)")];
      if (!all.some((it) => scrolls(it) && isWide(it))) return [];
      // What only screen readers get is cut off on purpose.
      const isCut = (it) => it && (style(it).clipPath !== "none" || isCut(it.parentElement));
      const right = (it) => it.getBoundingClientRect().left + Math.max(it.clientWidth, it.scrollWidth);
      const wide = all.filter((it) => right(it) > innerWidth + 1 && !isCut(it));
      return ["a part", ...wide.map((it) => it.outerHTML.slice(0, 200))];
    });
    // The last one is the innermost.
    if (wide.length > 0) this.site.faults.push(`${name}: wider than the window is ${wide.at(-1)}`);
  }

  async #isAccessible(name) {
    const { violations } = await this.page.evaluate((rules) => window.axe.run(document, rules), RULES);
    for (const { id, help, nodes } of violations) {
      const first = nodes[0].html.slice(0, 200);
      this.site.faults.push(`${name}: ${help} (${id}), ${nodes.length} times, first in ${first}`);
    }
  }
}
