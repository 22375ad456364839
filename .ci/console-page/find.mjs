// Finding an order by whatever is known of it.
import assert from "node:assert/strict";

import { unique } from "./shop.mjs";
import { Window } from "./window.mjs";

export async function find({ site, shop, javaScript, session, name }) {
  const [customer, mug] = await Promise.all([shop.customer(), shop.product("Blue mug", 5)]);
  const [external, reference, parcel] = [unique("PHONE"), unique("pi"), unique("RM")];
  const order = await shop.order(customer, [[mug, 2]], { external_number: external });
  await shop.pay(order, reference);
  await shop.ship(order, parcel);

  const window = await Window.open(site, { javaScript, session });
  const { page } = window;
  const search = async (text) => {
    await window.go("/console/orders");
    await page.getByRole("search").getByLabel("Search").fill(text);
    await page.keyboard.press("Enter");
  };
  // One order is meant, so its page is shown.
  for (const key of [order.number, customer.email, mug.sku, parcel, reference, external, order.id]) {
    await search(key);
    await page.getByRole("heading", { name: `Order ${order.number}`, level: 1 }).waitFor();
    assert.equal(window.path(), `/console/orders/${order.id}`, key);
  }

  // Several: all of them. None: the page says so, and keeps the text.
  const other = await shop.order(customer, [[mug, 1]]);
  await search(customer.email);
  await page.getByRole("link", { name: order.number }).waitFor();
  await page.getByRole("link", { name: other.number }).waitFor();
  await window.check(`${name}-several`);
  await search("nothing-has-this");
  await window.shows("No order has “nothing-has-this”");
  assert.equal(await page.getByRole("search").getByLabel("Search").inputValue(), "nothing-has-this");
  await window.check(`${name}-none`);

  // Each filter is in the URL.
  await window.go("/console/orders");
  await window.unfold("Filters");
  await page.getByRole("group", { name: "Status", exact: true }).getByLabel("placed").check();
  await page.getByLabel("SKU").fill(mug.sku);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("link", { name: other.number }).waitFor();
  assert.equal(await page.locator("tbody tr").count(), 1);
  const { searchParams } = new URL(page.url());
  assert.deepEqual([searchParams.get("status"), searchParams.get("sku")], ["placed", mug.sku]);
  await window.close();
}
