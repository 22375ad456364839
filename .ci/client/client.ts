// A client as somebody else would write it, on types that are generated from the OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const baseUrl = process.argv[2] ?? "";
const anyone = createClient<paths>({ baseUrl });

function good<T>(what: string, answer: { data?: T; error?: { type: string; detail: string }; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${what}: ${answer.response.status} ${answer.error?.type} ${answer.error?.detail}`);
  }
  return answer.data;
}

const password = "a password of this run alone";
const email = "client@example.com";
good("sign up", await anyone.POST("/users", { body: { email, password, name: "Ada" } }));
const session = good("sign in", await anyone.POST("/auth", { body: { email, password } }));
const shop = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${session.access_token}` } });

const products = good("products", await shop.GET("/products", { params: { query: { limit: 50 } } }));
const product = products.data.find((it) => it.stock.available > 1);
if (!product) throw new Error("there is nothing to buy");

const body: components["schemas"]["NewOrder"] = {
  items: [{ product_id: product.id, quantity: 1 }],
  shipping_address: { line1: "1 Way", city: "Bonn", postal_code: "53111", country: "DE" },
  metadata: { cart: "c-1" },
};
const params = { header: { "Idempotency-Key": crypto.randomUUID() } };
const order = good("order", await shop.POST("/orders", { body, params }));
const again = await shop.POST("/orders", { body, params });
if (good("again", again).id !== order.id || again.response.headers.get("Idempotency-Replayed") !== "true") {
  throw new Error("the same request made another order");
}
const cancelled = good("cancel", await shop.PUT("/orders/{id}", {
  params: { path: { id: order.id }, header: { "If-Match": `"${order.version}"` } },
  body: { status: "cancelled", reason: "only a test" },
}));
const refused = await shop.PUT("/orders/{id}", { params: { path: { id: order.id } }, body: { note: "late" } });
if (refused.error?.type !== "/problems/order-not-editable") {
  throw new Error(`a cancelled order was changed: ${refused.response.status}`);
}
console.log(`${order.number}: ${order.total.amount} ${order.total.currency}, ${cancelled.status}`);
