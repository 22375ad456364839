// Pictures of the README, in docs/pictures: taken again when they are asked for, with nothing but the demo data.
import { mkdir, writeFile } from "node:fs/promises";

import { Window } from "./window.mjs";

const FOLDER = new URL("../../docs/pictures/", import.meta.url);

export async function depict({ site, shop, session }) {
  const order = (await shop.get("/orders?external_number=PHONE-2041")).data[0];
  const pictures = {
    "console-orders": { path: "/console/orders", colorScheme: "light", height: 720 },
    "console-order": { path: `/console/orders/${order.id}`, colorScheme: "dark", height: 1040 },
  };
  await mkdir(FOLDER, { recursive: true });
  for (const [name, { path, colorScheme, height }] of Object.entries(pictures)) {
    const window = await Window.open(site, { session, colorScheme });
    await window.page.setViewportSize({ width: 1280, height });
    await window.go(path);
    const devtools = await window.context.newCDPSession(window.page);
    const { data } = await devtools.send("Page.captureScreenshot", { format: "webp", quality: 88 });
    await writeFile(new URL(`${name}.webp`, FOLDER), Buffer.from(data, "base64"));
    await window.close();
  }
  return Object.keys(pictures);
}
