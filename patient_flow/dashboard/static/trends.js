// Asks again for months that are still being read, and replaces their table only.
"use strict";

const PAUSE = 3000;

async function fill() {
  const main = document.getElementById("figures");
  if (!Number(main.dataset.pending)) return;
  try {
    const reply = await fetch(location.href, { cache: "no-store" });
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById("months");
    const shown = document.getElementById("months");
    if (fresh && shown) shown.replaceWith(document.adoptNode(fresh));
    main.dataset.pending = page.getElementById("figures").dataset.pending;
  } finally {
    setTimeout(fill, PAUSE);
  }
}

setTimeout(fill, PAUSE);
