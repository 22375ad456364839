// Finding out why so many units are on hand.
import assert from "node:assert/strict";

import { Window } from "./window.mjs";

export async function why({ site, shop, javaScript, session, name }) {
  const [customer, mug] = await Promise.all([shop.customer(), shop.product("Blue mug", 60)]);
  const shipped = await shop.order(customer, [[mug, 11]]);
  await shop.pay(shipped);
  await shop.ship(shipped);
  await shop.move(mug, -2, "two were broken");
  const open = await shop.order(customer, [[mug, 3]]);

  const window = await Window.open(site, { javaScript, session });
  const { page } = window;
  await window.go(`/console/products/${mug.id}`);
  await window.shows("47 on hand: 60 at first, 11 shipped, 2 counted down.");
  await window.shows("3 left to ship in these orders; 3 reserved.");
  const ledger = page.getByRole("table", { name: "Why: every change of the units on hand" });
  assert.deepEqual(await ledger.locator("tbody tr td:nth-child(2)").allInnerTexts(), ["-2", "-11", "+60"]);
  await ledger.getByText("two were broken").waitFor();
  await window.check(name, { widths: [1280, 320] });

  // Each change leads to its order, and each order that waits to its page.
  await ledger.getByRole("link").click();
  await page.getByRole("heading", { name: `Order ${shipped.number}` }).waitFor();
  await window.go(`/console/products/${mug.id}`);
  await page.getByRole("link", { name: open.number }).click();
  await page.getByRole("heading", { name: `Order ${open.number}` }).waitFor();
  await window.close();
}
