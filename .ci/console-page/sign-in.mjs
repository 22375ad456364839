// Signing in by keyboard alone, and signing out for good.
import assert from "node:assert/strict";

import { PASSWORD, STAFF } from "./shop.mjs";
import { Window } from "./window.mjs";

export async function signIn({ site, javaScript, name }) {
  const window = await Window.open(site, { javaScript });
  const { page } = window;
  const keys = async (...all) => {
    for (const key of all) await page.keyboard.press(key);
  };

  // Whoever is not signed in is led there, and afterwards to what was asked for.
  await window.go("/console/products?in_stock=true");
  assert.equal(window.path(), "/console/sign-in");
  await window.check(`${name}-asks`);

  // The first field has the focus, and Enter sends.
  window.expect(403);
  await page.keyboard.type(STAFF);
  await keys("Tab");
  await page.keyboard.type("not this one");
  await keys("Enter");
  await window.says("Wrong e-mail address or password");
  await window.check(`${name}-refuses`);

  // The address is kept, so the password has the focus.
  assert.equal(await page.getByLabel("E-mail address").inputValue(), STAFF);
  await page.keyboard.type(PASSWORD);
  await keys("Tab", "Enter");
  await page.getByRole("heading", { name: "Products", level: 1 }).waitFor();
  assert.equal(new URL(page.url()).search, "?in_stock=true");

  // The first stop skips what all pages have: the next one is within the content.
  await keys("Tab");
  const focused = page.locator(":focus");
  assert.equal(await focused.innerText(), "Skip to content");
  const { x, y } = await focused.boundingBox();
  assert.ok(x >= 0 && y >= 0, "the link that skips is seen once it has the focus");
  await keys("Enter", "Tab");
  assert.equal(await page.locator("main :focus").count(), 1);

  // Signed out, the back button shows nothing of what was there.
  await window.go("/console/orders");
  const number = await page.locator("table a").first().innerText();
  await page.locator("table a").first().click();
  await page.getByRole("heading", { name: `Order ${number}` }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.deepEqual(await window.context.cookies(), []);
  for (let steps = 0; steps < 3; steps += 1) {
    // A page that the browser has kept in memory is not loaded.
    await page.goBack({ waitUntil: "commit" });
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    assert.equal(window.path(), "/console/sign-in");
    assert.ok(!(await page.content()).includes(number), "an order is shown after signing out");
  }
  await window.close();
}
