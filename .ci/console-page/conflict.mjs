// Two people at the same order and the same product: nobody's change is lost.
import assert from "node:assert/strict";

import { Window } from "./window.mjs";

export async function conflict({ site, shop, javaScript, session, adminSession, name }) {
  const mug = await shop.product("Blue mug", 20);
  const order = await shop.order(await shop.customer(), [[mug, 1]]);
  const grace = await Window.open(site, { javaScript, session });
  const admin = await Window.open(site, { javaScript, session: adminSession });

  const note = async (window, text) => {
    await window.form("/notes").getByLabel("Internal note").fill(text);
    await window.form("/notes").getByRole("button", { name: "Save the note" }).click();
  };
  for (const window of [grace, admin]) {
    await window.go(`/console/orders/${order.id}`);
    await window.unfold("Change the internal note");
  }
  await note(admin, "Call before delivery.");
  await admin.says("The internal note is saved.");

  // Grace sees that it was changed, what it is now, and what she has typed.
  grace.expect(412);
  await note(grace, "A gift: no invoice.");
  await grace.says("It was changed since you opened this page");
  await grace.page.locator("dd", { hasText: "Call before delivery." }).waitFor();
  assert.equal((await grace.form("/notes").getByLabel("Internal note").inputValue()).trim(), "A gift: no invoice.");
  await grace.check(`${name}-order`, { widths: [1280, 320] });
  assert.equal((await shop.get(`/orders/${order.id}`)).internal_note, "Call before delivery.");
  await note(grace, "Call before delivery. A gift: no invoice.");
  await grace.says("The internal note is saved.");
  assert.equal((await shop.get(`/orders/${order.id}`)).internal_note, "Call before delivery. A gift: no invoice.");

  const rename = async (window, text) => {
    await window.page.getByLabel("Name").fill(text);
    await window.page.getByRole("button", { name: "Save" }).click();
  };
  for (const window of [grace, admin]) await window.go(`/console/products/${mug.id}`);
  await rename(admin, "Sky-blue mug");
  await admin.says("The product is saved.");
  await rename(grace, "Navy-blue mug");
  await grace.says("It was changed since you opened this page");
  await grace.page.getByRole("heading", { name: "Sky-blue mug" }).waitFor();
  assert.equal(await grace.page.getByLabel("Name").inputValue(), "Navy-blue mug");
  await grace.check(`${name}-product`, { widths: [1280, 320] });
  await rename(grace, "Deep-blue mug");
  await grace.says("The product is saved.");

  await admin.close();
  await grace.close();
}
