// Asks again for what is still being read, and replaces only the parts that changed.
"use strict";

const PAUSE = 2000;
const PARTS = ["totals", "places", "months"];

async function fill() {
  const main = document.getElementById("figures");
  if (!Number(main.dataset.pending)) return;
  try {
    const reply = await fetch(location.href, { cache: "no-store" });
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById("figures");
    if (PARTS.some((id) => !document.getElementById(id))) {
      main.replaceChildren(...fresh.childNodes);
    } else {
      for (const id of PARTS) {
        const part = page.getElementById(id);
        const shown = document.getElementById(id);
        if (part && part.outerHTML !== shown.outerHTML) shown.replaceWith(document.adoptNode(part));
      }
    }
    main.dataset.pending = fresh.dataset.pending;
  } finally {
    setTimeout(fill, PAUSE);
  }
}

setTimeout(fill, PAUSE);
