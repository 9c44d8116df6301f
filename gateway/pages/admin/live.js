// Refreshes a page every <body data-refresh> seconds: fetches it again and replaces the elements that have data-live.
// Pauses while the page is hidden.
"use strict";

(() => {
  const body = document.body;
  const SLOWEST = 30;
  let timer = 0;
  let asking = false;

  const replace = (fresh) => {
    let whole = true;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now || now.innerHTML === old.innerHTML) continue;
      // An element that contains the focus is not replaced.
      if (old.contains(document.activeElement)) whole = false;
      else old.replaceChildren(...now.childNodes);
    }
    return whole;
  };

  const take = (fresh) => {
    document.dispatchEvent(new CustomEvent("fresh", { detail: fresh }));
    if (!replace(fresh)) return;
    if (fresh.body.dataset.refresh) body.dataset.refresh = fresh.body.dataset.refresh;
    else delete body.dataset.refresh;
  };

  const look = async () => {
    if (asking) return;
    asking = true;
    try {
      const response = await fetch(location.href, { cache: "no-store" });
      if (response.status === 401) location.reload(); // signed out: reloading shows the sign-in form
      if (!response.ok) throw new Error(response.status);
      take(new DOMParser().parseFromString(await response.text(), "text/html"));
      delete body.dataset.stale;
    } catch {
      body.dataset.stale = "";
    }
    asking = false;
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    const seconds = Number(body.dataset.refresh);
    if (!seconds || document.hidden) return;
    timer = setTimeout(look, 1000 * ("stale" in body.dataset ? Math.min(2 * seconds, SLOWEST) : seconds));
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && body.dataset.refresh) look();
    else plan();
  });
  plan();
})();
