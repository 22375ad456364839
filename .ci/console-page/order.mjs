// One order from its payment to its return: paid, shipped in two parcels, corrected, refunded in part, sent back.
import assert from "node:assert/strict";

import { unique } from "./shop.mjs";
import { Window } from "./window.mjs";

export async function order({ site, shop, javaScript, session, name }) {
  const [customer, mug, pot] = await Promise.all([
    shop.customer(),
    shop.product("Blue mug", 20, 1250),
    shop.product("Tea pot", 5, 4999),
  ]);
  const placed = await shop.order(customer, [[mug, 3], [pot, 1]]);
  const path = `/console/orders/${placed.id}`;
  const window = await Window.open(site, { javaScript, session });
  const { page } = window;
  const part = (title) => page.locator("section.card").filter({ has: page.getByRole("heading", { name: title }) });

  // What is due stands in the form already.
  await window.go(path);
  let form = window.form("/payments");
  assert.equal(await form.getByLabel("Amount in EUR").inputValue(), "87.49");
  await form.getByLabel("Reference").fill(unique("pi"));
  await window.send(form, "Record this payment", "The payment is recorded.");

  // Two mugs first, then all that is left. A number with a typing error names its field, and keeps the others.
  form = window.form("/fulfillments");
  await form.getByLabel("Blue mug").fill("two");
  await form.getByLabel("Tea pot").fill("0");
  await form.getByLabel("Carrier").fill("Royal Mail");
  await form.getByLabel("Tracking number").fill("RM1");
  window.expect(422);
  await window.send(form, "Ship these units", "Blue mug must be a whole number");
  assert.equal(await page.locator(":focus").inputValue(), "two");
  assert.equal(await form.getByLabel("Carrier").inputValue(), "Royal Mail");
  await window.check(`${name}-refused`);
  await form.getByLabel("Blue mug").fill("2");
  await window.send(form, "Ship these units", "The fulfillment is recorded.");
  assert.equal(await form.getByLabel("Blue mug").inputValue(), "1");
  await form.getByLabel("Carrier").fill("Royal Mail");
  await form.getByLabel("Tracking number").fill("RM2");
  await window.send(form, "Ship these units", "The fulfillment is recorded.");
  assert.equal(await form.count(), 0, "nothing is left to ship");

  await window.unfold("Correct the tracking", part("Fulfillment 2"));
  form = part("Fulfillment 2").locator("form").filter({ hasText: "Save this tracking" });
  await form.getByLabel("Tracking number").fill("RM22");
  await window.send(form, "Save this tracking", "The tracking is corrected.");
  await part("Fulfillment 2").getByText("RM22").first().waitFor();
  assert.equal(await page.getByText("tracking corrected").count(), 1);
  for (const title of ["Fulfillment 1", "Fulfillment 2"]) {
    await part(title).getByRole("button", { name: "Mark as delivered" }).click();
    await window.says("The fulfillment is delivered.");
  }

  // A refund is shown before anything is recorded.
  await window.unfold("Refund items");
  form = window.form("/refunds/preview").filter({ hasText: "Tea pot" });
  await form.getByLabel("Tea pot").fill("1");
  await form.getByLabel("Reason").fill("broken spout");
  await form.getByRole("button", { name: "Preview this refund" }).click();
  const preview = page.getByRole("region", { name: "Confirm the refund" });
  await preview.getByText("EUR 49.99").waitFor();
  await window.check(`${name}-preview`, { widths: [1280, 320] });
  assert.deepEqual((await shop.get(`/orders/${placed.id}`)).refunds, []);
  await window.send(preview, "Record this refund", "The refund is recorded.");

  await window.unfold("Record a return");
  form = window.form("/returns");
  await form.getByLabel("Blue mug").fill("2");
  await form.getByLabel("Reason").fill("too blue");
  await window.send(form, "Record this return", "The return is recorded.");
  form = part("Return 1").locator("form").filter({ hasText: "Receive these units" });
  await form.getByLabel("Blue mug: came back").fill("2");
  await form.getByLabel("Blue mug: of these back in stock").fill("1");
  await window.send(form, "Receive these units", "The return is received.");
  await window.check(`${name}-done`, { widths: [1280, 320] });
  await window.close();

  const ended = await shop.get(`/orders/${placed.id}`);
  assert.deepEqual(ended.fulfillments.map(({ tracking }) => tracking.number), ["RM1", "RM22"]);
  assert.deepEqual(
    [ended.status, ended.totals.refunded, ended.items[0].returned, ended.items[1].refunded],
    ["delivered", 4999, 2, 1],
  );
  assert.equal((await shop.get(`/products/${mug.id}`)).stock.on_hand, 18);
}
