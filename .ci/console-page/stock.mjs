// Counting one product, and many that are pasted.
import assert from "node:assert/strict";

import { Window } from "./window.mjs";

export async function stock({ site, shop, javaScript, session, name }) {
  const [mug, pot, cup] = await Promise.all([
    shop.product("Blue mug", 20),
    shop.product("Tea pot", 5),
    shop.product("Small cup", 9),
  ]);
  await shop.order(await shop.customer(), [[cup, 4]]);
  const onHand = async (product) => (await shop.get(`/products/${product.id}`)).stock.on_hand;
  const window = await Window.open(site, { javaScript, session });
  const { page } = window;

  // The search finds it by its SKU.
  await window.go("/console/products");
  await page.getByRole("searchbox").fill(mug.sku);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Blue mug" }).click();
  let form = window.form("/stock");
  await form.getByLabel("Units counted").fill("17.5");
  window.expect(422);
  await window.send(form, "Set units on hand", "must be a whole number");
  await window.check(`${name}-refused`);
  await form.getByLabel("Units counted").fill("17");
  await form.getByLabel("Reason").fill("counted on Monday");
  await window.send(form, "Set units on hand", "The units on hand are set.");
  assert.equal(await onHand(mug), 17);
  form = window.form("/stock/delta");
  await form.getByLabel("Change in units").fill("-2");
  await window.send(form, "Change units on hand", "The units on hand are changed.");
  assert.equal(await onHand(mug), 15);

  // Columns of a spreadsheet. Two lines have problems: an unknown SKU, and fewer units than are reserved.
  await window.go("/console/products");
  await page.getByRole("link", { name: "Count many products" }).click();
  await page.getByLabel("One line for each product").focus();
  await page.keyboard.insertText([`${mug.sku}\t14`, `${pot.sku}\t7`, `${cup.sku}\t3`, "NO-SUCH-THING\t1"].join("\n"));
  await page.getByRole("button", { name: "Preview" }).click();
  const row = (text) => page.getByRole("row").filter({ hasText: text });
  await row(pot.sku).getByText("+2").waitFor();
  await row(cup.sku).getByText("4 are reserved for orders").waitFor();
  await row("NO-SUCH-THING").getByText("No product has this SKU.").waitFor();
  await window.check(`${name}-preview`, { widths: [1280, 320] });
  assert.equal(await onHand(mug), 15);
  await page.getByRole("button", { name: "Count 2 products" }).click();
  await row(mug.sku).getByText("Counted: 14 on hand.").waitFor();
  await row(pot.sku).getByText("Counted: 7 on hand.").waitFor();
  await window.check(`${name}-answers`, { widths: [1280, 320] });
  assert.deepEqual(await Promise.all([mug, pot, cup].map(onHand)), [14, 7, 9]);
  await window.close();
}
