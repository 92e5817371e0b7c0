// What a page can do beyond links and forms. Without this script every page still works.
"use strict";

// Times are written in UTC; show them in the reader's own zone.
function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const time = new Date(element.dateTime);
    if (!Number.isNaN(time.getTime())) {
      element.title = element.textContent;
      element.textContent = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}

// Folders of a tree open and close. The closed ones are kept when the page is renewed.
const closedFolders = new Set();

function rowsBelow(folder) {
  const rows = [];
  let row = folder.nextElementSibling;
  while (row && Number(row.dataset.depth) > Number(folder.dataset.depth)) {
    rows.push(row);
    row = row.nextElementSibling;
  }
  return rows;
}

function showTree(tree) {
  let closedDepth = Infinity;
  for (const row of tree.querySelectorAll("tr[data-depth]")) {
    const depth = Number(row.dataset.depth);
    if (depth <= closedDepth) closedDepth = Infinity;
    row.hidden = depth > closedDepth;
    if (row.dataset.folder !== undefined && !row.hidden) {
      const isClosed = closedFolders.has(row.dataset.folder);
      const button = row.querySelector(".toggle button");
      button.setAttribute("aria-expanded", String(!isClosed));
      button.textContent = isClosed ? "▸" : "▾";
      if (isClosed) closedDepth = depth;
    }
  }
}

function prepareTrees(root) {
  for (const tree of root.querySelectorAll("table.tree")) {
    for (const row of tree.querySelectorAll("tr[data-folder]")) {
      const button = document.createElement("button");
      button.type = "button";
      const name = row.querySelector(".segment").textContent;
      button.setAttribute("aria-label", `What is in ${name}`);
      button.dataset.key = `folder:${row.dataset.folder}`;
      button.addEventListener("click", () => {
        const folder = row.dataset.folder;
        if (!closedFolders.delete(folder)) closedFolders.add(folder);
        showTree(tree);
      });
      row.querySelector(".toggle").append(button);
    }
    showTree(tree);
  }
}

function prepareCopying(root) {
  for (const button of root.querySelectorAll("button[data-copies]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const status = button.parentElement.querySelector("[role=status]");
      try {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
        status.textContent = "Copied";
      } catch {
        status.textContent = "The browser does not allow it";
      }
    });
  }
}

function prepare(root) {
  showLocalTimes(root);
  prepareTrees(root);
  prepareCopying(root);
}

// A page with something live is fetched again whenever the store changes. What the reader has
// focused and opened stays as it is.
function keyOf(element) {
  if (!element || !element.matches) return null;
  if (element.dataset.key) return `[data-key="${CSS.escape(element.dataset.key)}"]`;
  if (element.id) return `#${CSS.escape(element.id)}`;
  const attribute = ["href", "name"].find((name) => element.hasAttribute(name));
  return attribute ? `${element.localName}[${attribute}="${CSS.escape(element.getAttribute(attribute))}"]` : null;
}

function watch(live) {
  const bar = document.createElement("div");
  bar.className = "live";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  const button = document.createElement("button");
  button.type = "button";
  bar.append(status, button);
  live.before(bar);

  let paused = false;
  let source = null;
  let busy = false;
  let again = false;
  let delay = 2000;
  let timer = 0;

  async function renew() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(live.dataset.live, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(live.id);
      if (answer.ok && fresh && !isBeingFilledIn(live)) {
        replace(live, fresh);
        status.textContent = `Updated at ${new Date().toLocaleTimeString()}`;
      }
    } catch {
      status.textContent = "The server does not answer";
    }
    busy = false;
    if (again) {
      again = false;
      window.setTimeout(renew, 500);
    }
  }

  function start() {
    window.clearTimeout(timer);
    if (source || paused || document.hidden) return;
    source = new EventSource("/live");
    source.addEventListener("open", () => { delay = 2000; });
    source.addEventListener("change", renew);
    source.addEventListener("error", () => {
      stop();
      timer = window.setTimeout(() => { start(); renew(); }, delay);
      delay = Math.min(delay * 2, 60000);
    });
  }

  function stop() {
    if (source) source.close();
    source = null;
  }

  function show() {
    button.textContent = paused ? "Watch again" : "Pause";
    status.textContent = paused ? "Paused" : "Live";
  }

  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (paused) stop();
    else { start(); renew(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!paused) { start(); renew(); }
  });
  window.addEventListener("pagehide", stop);
  show();
  start();
}

function isBeingFilledIn(live) {
  const focused = document.activeElement;
  return live.contains(focused) && focused.matches("input, select, textarea");
}

function replace(live, fresh) {
  const focused = live.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const opened = [...live.querySelectorAll("details[open]")].map((one) => [...live.querySelectorAll("details")].indexOf(one));
  const scrolled = [...live.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  live.replaceChildren(...fresh.childNodes);
  const details = live.querySelectorAll("details");
  for (const index of opened) if (details[index]) details[index].open = true;
  prepare(live);
  live.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] ?? 0; });
  if (focused) live.querySelector(focused)?.focus({ preventScroll: true });
}

document.addEventListener("DOMContentLoaded", () => {
  prepare(document);
  const live = document.querySelector("[data-live][id]");
  if (live) watch(live);
});
