// Refreshes the list of a page while its tab is visible. Without this script the page works as it is.
"use strict";

(() => {
  // htmx writes the address of each page there, although its history is off. Nothing may stay after sign-out.
  try { sessionStorage.removeItem("htmx-current-path-for-history"); } catch { /* There is no storage. */ }
  const region = document.querySelector("[data-live]");
  if (!region || !window.htmx || !window.Idiomorph) return;

  const EVERY = 3000, SLOWEST = 30000, MARKED_FOR = 6000, SAY_EVERY = 30000, FAILURES_TO_SHOW = 3;
  const [news, over, away] = ["live-news", "live-over", "live-away"].map((id) => document.getElementById(id));
  const rows = () => [...region.querySelectorAll("tr[id]")];
  let timer = 0, busy = false, failures = 0, before = new Map(), focused = null;
  const unsaid = { added: 0, changed: 0, timer: 0 };

  const poll = () => {
    clearTimeout(timer);
    if (busy || document.hidden || !over.hidden) return;
    busy = true;
    window.htmx.trigger(region, "live");
  };

  const schedule = () => {
    clearTimeout(timer);
    timer = setTimeout(poll, Math.min(EVERY * 2 ** failures, SLOWEST));
  };

  // A person is at work there: a focus, a checked box, something opened, or selected text.
  const isInUse = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return false;
    const selection = document.getSelection();
    return node.contains(document.activeElement) || node.querySelector("input:checked, details[open]") !== null
      || (selection !== null && !selection.isCollapsed && selection.containsNode(node, true));
  };

  Object.assign(window.Idiomorph.defaults.callbacks, {
    beforeNodeMorphed: (old, next) => {
      if (old instanceof HTMLInputElement && next instanceof HTMLInputElement) {
        next.checked = old.checked;
        next.value = old.value;
      }
      if (old instanceof HTMLDetailsElement && next instanceof HTMLDetailsElement) next.open = old.open;
      return true;
    },
    beforeNodeRemoved: (node) => {
      if (!region.contains(node) || !isInUse(node)) return true;
      // Of a whole table those rows alone stay.
      for (const row of node.matches("tr[id]") ? [node] : node.querySelectorAll("tr[id]")) {
        if (isInUse(row)) row.dataset.mark = "gone"; else row.remove();
      }
      return false;
    },
    // Marks are this script's own, so no answer has them.
    beforeAttributeUpdated: (name) => name !== "data-mark",
  });

  const say = () => {
    const { added, changed } = unsaid;
    if (unsaid.timer || added + changed === 0) return;
    news.textContent = news.dataset.text.replace("{added}", added).replace("{changed}", changed);
    unsaid.added = unsaid.changed = 0;
    unsaid.timer = setTimeout(() => { unsaid.timer = 0; say(); }, SAY_EVERY);
  };

  const mark = (row, kind) => {
    row.dataset.mark = kind;
    setTimeout(() => { if (row.dataset.mark === kind) delete row.dataset.mark; }, MARKED_FOR);
  };

  // An answer to a poll has a tag. The sign-in page has none, nor has anything that a proxy says.
  const tagOf = (xhr) => (xhr.status === 200 ? xhr.getResponseHeader("ETag") : null);

  region.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["If-None-Match"] = region.dataset.tag;
  });

  region.addEventListener("htmx:beforeSwap", (event) => {
    const tag = tagOf(event.detail.xhr);
    event.detail.shouldSwap = tag !== null;
    if (tag === null) return;
    region.dataset.tag = tag;
    focused = region.contains(document.activeElement) ? document.activeElement : null;
    for (const row of rows()) if (row.dataset.mark === "gone") delete row.dataset.mark;
    before = new Map(rows().map((row) => [row.id, row.textContent]));
  });

  region.addEventListener("htmx:afterSwap", () => {
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
    for (const row of rows()) {
      if (row.dataset.mark === "gone" || before.get(row.id) === row.textContent) continue;
      const isNew = !before.has(row.id);
      unsaid[isNew ? "added" : "changed"] += 1;
      mark(row, isNew ? "new" : "changed");
    }
    say();
  });

  region.addEventListener("htmx:afterRequest", (event) => {
    const { xhr } = event.detail;
    busy = false;
    const isGood = xhr.status === 304 || tagOf(xhr) !== null;
    // A 200 without a tag is a page that a redirect has led to.
    over.hidden = !(xhr.status === 401 || (xhr.status === 200 && !isGood));
    failures = isGood ? 0 : failures + 1;
    away.hidden = !over.hidden || failures < FAILURES_TO_SHOW;
    if (over.hidden) schedule();
  });

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    // Somebody may have signed in again in another tab.
    over.hidden = true;
    poll();
  });

  schedule();
})();
