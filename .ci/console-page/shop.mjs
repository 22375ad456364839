// Client of the REST API, which makes what the journeys need: products, customers, and orders in any state.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

export const PASSWORD = "coffee and tea";
export const STAFF = "staff@example.com";

const address = { line1: "1 Analytical Way", city: "London", postal_code: "EC1A 1AA", country: "GB" };

/** A name that nothing else has, for people too: `MUG-4F2A9C01`. */
export const unique = (stem) => `${stem}-${randomBytes(4).toString("hex").toUpperCase()}`;

export class Shop {
  #base;
  #token;

  static async open(base) {
    const shop = new Shop();
    shop.#base = base;
    shop.#token = (await shop.#send("POST", "/auth", { email: STAFF, password: PASSWORD })).access_token;
    return shop;
  }

  async #send(method, path, body) {
    const headers = { "content-type": "application/json" };
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    const answer = await fetch(this.#base + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  get(path) {
    return this.#send("GET", path);
  }

  /** Makes a product with these units on hand. */
  product(name, stock, amount = 1200) {
    const sku = unique(name.split(" ").at(-1).toUpperCase()).slice(-64);
    return this.#send("POST", "/products", { sku, name, stock, price: { amount, currency: "EUR" } });
  }

  /** Makes a customer. */
  customer(name = "Ada Lovelace") {
    const email = `${unique("customer").toLowerCase()}@example.com`;
    return this.#send("POST", "/users", { email, name, password: PASSWORD, address });
  }

  /** Places an order of a customer: pairs of a product and units. */
  order(customer, lines, more = {}) {
    const items = lines.map(([product, quantity]) => ({ product_id: product.id, quantity }));
    return this.#send("POST", "/orders", { user_id: customer.id, items, shipping_address: address, ...more });
  }

  /** Pays an order in full. */
  pay(order, reference = unique("pi")) {
    return this.#send("POST", `/orders/${order.id}/payments`, { amount: order.total.amount, reference });
  }

  /** Ships all that is left of an order. */
  ship(order, number = unique("RM")) {
    return this.#send("POST", `/orders/${order.id}/fulfillments`, { tracking: { carrier: "Royal Mail", number } });
  }

  /** Adds units to those on hand, or takes some away. */
  move(product, delta, reason) {
    return this.#send("PUT", `/products/${product.id}/stock`, { delta, reason });
  }
}
