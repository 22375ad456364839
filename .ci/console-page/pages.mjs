// All pages, in each width and in both colour schemes; how large they are, and how soon they begin.
import { unique } from "./shop.mjs";
import { Window } from "./window.mjs";

/** Most bytes of a page before compression. */
const MOST_BYTES = 60_000;

/** Requests of a page whose times are measured. */
const REQUESTS = 20;

/** Pages by name. Each has a path; where needed its status, what to unfold, and whether it needs no session. */
async function pages(shop) {
  const order = async (filter) => (await shop.get(`/orders?limit=1&${filter}`)).data[0];
  const [placed, packed, parcels, returned, refunded, ada, mug] = await Promise.all([
    order("status=placed"),
    order("external_number=PHONE-2041"),
    order(`tracking_number=${encodeURIComponent("RM 4102 7713 5GB")}`),
    order("status=delivered&payment_status=partially_refunded"),
    order("status=refunded"),
    shop.get("/users?email=ada@example.com"),
    shop.get("/products?sku=MUG-BLUE"),
  ]);
  const long = await longest(shop);
  return {
    "sign-in": { path: "/console/sign-in", isPublic: true },
    start: { path: "/console" },
    orders: { path: "/console/orders" },
    "orders-filters": { path: "/console/orders", unfold: "Filters" },
    "orders-none": { path: "/console/orders?sku=NO-SUCH-THING" },
    "orders-refused": { path: "/console/orders?created_from=yesterday", status: 400 },
    "order-placed": { path: `/console/orders/${placed.id}`, unfold: "" },
    "order-to-pack": { path: `/console/orders/${packed.id}` },
    "order-in-parcels": { path: `/console/orders/${parcels.id}`, unfold: "" },
    "order-returned": { path: `/console/orders/${returned.id}`, unfold: "" },
    "order-refunded": { path: `/console/orders/${refunded.id}` },
    "order-long": { path: `/console/orders/${long.shipped.id}`, unfold: "" },
    shipping: { path: "/console/shipping" },
    slips: { path: `/console/slips?order=${packed.id}&order=${long.paid.id}` },
    products: { path: "/console/products" },
    "products-filters": { path: "/console/products", unfold: "Filters" },
    product: { path: `/console/products/${mug.data[0].id}` },
    "product-long": { path: `/console/products/${long.product.id}` },
    stock: { path: "/console/stock" },
    users: { path: "/console/users" },
    user: { path: `/console/users/${ada.data[0].id}` },
    "user-long": { path: `/console/users/${long.customer.id}` },
    health: { path: "/console/health" },
    "no-page": { path: "/console/no-such-page", status: 404 },
    "no-order": { path: "/console/orders/order_01h455vb4pex5vsknk084sn02q", status: 404 },
  };
}

/** A customer, a product and two orders with texts that are long and have no place to break. */
async function longest(shop) {
  const word = (length) => unique("X").padEnd(length, "abcdefghij");
  const customer = await shop.customer(word(100));
  const product = await shop.product(word(100), 1_000_000);
  const texts = { note: word(500), internal_note: word(500), metadata: { [word(40)]: word(400) } };
  const order = () => shop.order(customer, [[product, 10_000]], { ...texts, external_number: word(64) });
  const [paid, shipped] = [await order(), await order()];
  for (const one of [paid, shipped]) await shop.pay(one, word(100));
  await shop.ship(shipped, word(100));
  return { customer, product, paid, shipped };
}

/** Looks at all pages, or at those of these names. Gives their names. */
export async function look({ site, shop, session, only }) {
  const all = Object.entries(await pages(shop)).filter(([name]) => only.length === 0 || only.includes(name));
  await Promise.all(["light", "dark"].map((colorScheme) => inScheme(site, session, all, colorScheme)));
  if (all.length > 0) console.table(await measured(site, session, all));
  return all.map(([name]) => name);
}

async function inScheme(site, session, all, colorScheme) {
  const windows = {
    signedIn: await Window.open(site, { session, colorScheme }),
    public: await Window.open(site, { colorScheme }),
  };
  for (const [name, { path, status = 200, unfold, isPublic }] of all) {
    const window = isPublic ? windows.public : windows.signedIn;
    try {
      await window.go(path, status);
      if (unfold !== undefined) await window.unfoldAll(unfold);
      await window.check(`${name}-${colorScheme}`, { widths: [2560, 1280, 320], pictures: [1280, 320] });
    } catch (error) {
      site.faults.push(`${name}-${colorScheme}: ${error.message}`);
    }
  }
  await windows.signedIn.close();
  await windows.public.close();
}

/** Bytes of each page, and the middle of the times until it begins. */
async function measured(site, session, all) {
  const cookie = session.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  const table = {};
  for (const [name, { path, isPublic }] of all) {
    const times = [];
    let bytes;
    for (let request = 0; request < REQUESTS; request += 1) {
      const began = performance.now();
      const answer = await fetch(site.base + path, { headers: isPublic ? {} : { cookie } });
      times.push(performance.now() - began);
      bytes = (await answer.arrayBuffer()).byteLength;
    }
    const middle = times.sort((one, other) => one - other)[REQUESTS / 2];
    table[name] = { bytes, "first byte p50, ms": Number(middle.toFixed(1)) };
    if (bytes > MOST_BYTES) site.faults.push(`${name} has ${bytes} bytes, and not at most ${MOST_BYTES}`);
  }
  return table;
}
