// Keeps an open page fresh and applies filters at once. Without it the page works too: with the button "Show".
"use strict";

const main = document.getElementById("figures");
const form = document.getElementById("filters");
const sources = new Map(); // id of a part → its HTML as the server sent it
let shown = location.search;
let tag = "";
let timer = 0;
let asked = 0;
let failed = 0; // refreshes in a row

const PATIENCE = 10000; // a server that has gone often leaves a connection that says nothing, for minutes
const FAILURES = 2; // one may be chance

function parts(root) {
  return [...root.querySelectorAll("#status, #banner, #message, #cards, .panel")];
}

function remember(elements) {
  sources.clear();
  for (const element of elements) sources.set(element.id, element.outerHTML);
}

// Replaces only what differs, so that nothing flickers, no open table closes and the focus stays where it is.
function show(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const arrived = parts(fresh.content);
  const html_of = new Map(arrived.map((part) => [part.id, part.outerHTML]));
  const same = arrived.length === sources.size && arrived.every((part) => sources.has(part.id));
  if (!same) {
    main.replaceChildren(fresh.content);
    refold();
  } else {
    for (const part of arrived) {
      if (html_of.get(part.id) !== sources.get(part.id)) replace(document.getElementById(part.id), part);
    }
  }
  sources.clear();
  for (const [id, source] of html_of) sources.set(id, source);
}

function replace(old, part) {
  const open = new Set([...old.querySelectorAll("details[open]")].map((details) => details.id));
  for (const details of part.querySelectorAll("details")) details.open = open.has(details.id);
  const reachable = "a, summary, button, [tabindex]";
  const focused = [...old.querySelectorAll(reachable)].indexOf(document.activeElement);
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollTop, box.scrollLeft]);
  old.replaceWith(part);
  refold();
  for (const [place, box] of part.querySelectorAll(".scroll").entries()) {
    [box.scrollTop, box.scrollLeft] = scrolled[place] ?? [0, 0];
  }
  if (focused >= 0) part.querySelectorAll(reachable)[focused]?.focus({ preventScroll: true });
}

// Hospitals whose departments the reader has folded away stay folded when new figures come.
const folded = new Set();

function refold() {
  for (const group of document.querySelectorAll(".group")) {
    const is_folded = folded.has(group.id);
    group.classList.toggle("folded", is_folded);
    group.querySelector(".fold")?.setAttribute("aria-expanded", String(!is_folded));
  }
}

function fold(event) {
  const button = event.target.closest?.(".fold");
  if (!button) return;
  const id = button.closest(".group").id;
  if (!folded.delete(id)) folded.add(id);
  refold();
}

// The page cannot vouch for its figures any more: it says so, and since when, in words that came with them.
function lose() {
  if (++failed < FAILURES || document.getElementById("lost")) return;
  const status = document.getElementById("status");
  status.className = "status unreachable";
  status.querySelector("strong").lastChild.textContent = status.dataset.unreachable;
  const banner = document.createElement("p");
  banner.id = "lost";
  banner.className = "banner unreachable";
  banner.setAttribute("role", "alert");
  banner.textContent = status.dataset.lost;
  status.after(banner);
}

function recover() {
  const banner = document.getElementById("lost");
  if (banner) {
    banner.remove();
    document.getElementById("status").outerHTML = sources.get("status");
  }
  failed = 0;
}

async function refresh() {
  clearTimeout(timer);
  const number = ++asked;
  let seconds = 15;
  try {
    const reply = await fetch("figures" + shown, {
      headers: tag ? { "If-None-Match": tag } : {},
      cache: "no-store",
      signal: AbortSignal.timeout?.(PATIENCE),
    });
    if (number !== asked) return; // a later choice was faster
    if (reply.status === 401 || reply.status === 403) return location.reload();
    const refreshed = Number(reply.headers.get("X-Refresh-Seconds")); // ours; the page of a proxy or a sign-in has none
    if (!refreshed || !(reply.ok || reply.status === 304)) throw new Error(reply.status);
    const html = reply.ok ? await reply.text() : "";
    if (number !== asked) return;
    seconds = refreshed;
    recover();
    if (reply.ok) {
      tag = reply.headers.get("ETag") || "";
      if (!form && html.includes('id="cards"')) return location.reload(); // the first figures: the filters come with them
      show(html);
    }
  } catch {
    // What is shown stays, its time with it, and the next try may succeed.
    if (number === asked) lose();
  } finally {
    main.removeAttribute("aria-busy");
    if (number === asked) timer = setTimeout(refresh, seconds * 1000);
  }
}

function choose() {
  const chosen = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...chosen]) if (!value) chosen.delete(name);
  shown = "?" + chosen;
  tag = "";
  history.pushState(null, "", shown);
  main.setAttribute("aria-busy", "true");
  refresh();
}

let opened = [];

if (form) {
  form.classList.add("live");
  form.addEventListener("change", choose);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    choose();
  });
}
addEventListener("popstate", () => location.search !== shown && location.reload()); // not for the skip link
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", () => document.hidden || refresh());
// Paper has no buttons: all tables are printed.
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
for (const [id, sheet] of [["print", false], ["print-sheet", true]]) {
  const button = document.getElementById(id);
  if (!button) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    document.body.classList.toggle("sheet", sheet);
    print();
  });
}
addEventListener("afterprint", () => document.body.classList.remove("sheet"));
document.documentElement.classList.add("live");
main.addEventListener("click", fold);
remember(parts(main));
timer = setTimeout(refresh, 2000);
