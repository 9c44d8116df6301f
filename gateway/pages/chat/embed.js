// Embeds the chat in another site: a button, and a panel with the gateway's page in an iframe.
//
//   <script src="https://bot.example.com/embed.js" async data-title="Ask us" data-position="left" data-color="#0b57a4"
//           data-theme="dark" data-assistant="support"></script>
//
// The conversation stays in the frame, where the site's scripts cannot read it. The site's styles do not affect the
// button, and no cookie is set.
(() => {
  "use strict";

  const STYLE = `
    :host { all: initial; }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .chat { position: fixed; z-index: 2147483000; bottom: max(16px, env(safe-area-inset-bottom)); font: 600 16px/1.4 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, system-ui, sans-serif; }
    .right { right: max(16px, env(safe-area-inset-right)); }
    .left { left: max(16px, env(safe-area-inset-left)); }
    button { display: grid; place-items: center; border: 0; padding: 0; background: var(--color); color: var(--on-color); cursor: pointer; }
    button:focus-visible { outline: 3px solid var(--on-color); box-shadow: 0 0 0 6px var(--color); }
    svg { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
    .launch { width: 56px; height: 56px; border-radius: 50%; box-shadow: 0 2px 6px #0003, 0 6px 24px #0003; }
    .launch svg { width: 28px; height: 28px; }
    .panel { display: flex; flex-direction: column; width: min(400px, calc(100vw - 32px)); height: min(640px, calc(100vh - 48px)); overflow: hidden; border-radius: 16px; background: var(--color); color: var(--on-color); box-shadow: 0 4px 12px #0003, 0 12px 48px #0004; }
    .bar { display: flex; align-items: center; min-height: 48px; padding: 0 4px 0 16px; }
    .bar span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .bar button { width: 40px; height: 40px; border-radius: 10px; }
    .bar svg { width: 20px; height: 20px; }
    .bar button:focus-visible { outline-offset: -4px; box-shadow: none; }
    iframe { flex: 1; width: 100%; min-height: 0; border: 0; background: Canvas; }
    @media (max-width: 480px), (max-height: 480px) {
      .chat.open { inset: 0; }
      .panel { width: 100%; height: 100%; border-radius: 0; padding-top: env(safe-area-inset-top); }
    }`;
  const SPEECH = "M7 4h10a3 3 0 0 1 3 3v7a3 3 0 0 1-3 3h-5l-5 4v-4a3 3 0 0 1-3-3V7a3 3 0 0 1 3-3z";
  const CROSS = "M6 6l12 12M18 6L6 18";

  const SENTENCES = {}; // those below in the visitor's language: the gateway fills it
  const sentence = (english) => SENTENCES[english] ?? english;

  const script = document.currentScript;
  const gateway = new URL("./", script.src);
  const title = script.dataset.title || sentence("Chat");
  const side = script.dataset.position === "left" ? "left" : "right";
  const theme = script.dataset.theme || ""; // light, dark, or as the reader's system
  const assistant = script.dataset.assistant || ""; // who answers; else visitors choose, where there are several
  const color = CSS.supports("color", script.dataset.color ?? "") ? script.dataset.color : "#2257c5";

  function make(name, properties, ...children) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  }

  function icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    shape.setAttribute("d", path);
    svg.append(shape);
    return svg;
  }

  /** Returns black or white, whichever has more contrast with the colour. */
  function readableOn(node) {
    const [red, green, blue] = getComputedStyle(node).backgroundColor.match(/[\d.]+/g).map((part) => {
      const light = Number(part) / 255;
      return light <= 0.04045 ? light / 12.92 : ((light + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
  }

  function begin() {
    const launch = make("button", { type: "button", className: "launch", ariaLabel: title, title }, icon(SPEECH));
    launch.setAttribute("aria-haspopup", "dialog");
    launch.setAttribute("aria-expanded", "false");
    const close = make("button", { type: "button", ariaLabel: sentence("Close the chat") }, icon(CROSS));
    const bar = make("div", { className: "bar" }, make("span", { textContent: title }), close);
    const panel = make("div", { className: "panel", role: "dialog", ariaLabel: title, hidden: true }, bar);
    const root = make("div", { className: `chat ${side}` }, launch, panel);
    let frame = null;

    function show() {
      frame ??= panel.appendChild(
        make("iframe", { title, allow: "clipboard-write", referrerPolicy: "no-referrer", src: `${gateway}?${look()}` }),
      );
      turn(true);
      frame.focus();
    }

    function look() {
      return new URLSearchParams({ panel: "", title, theme, assistant, color, "on-color": root.style.getPropertyValue("--on-color") });
    }

    function turn(open) {
      panel.hidden = !open;
      launch.hidden = open;
      root.classList.toggle("open", open);
      launch.setAttribute("aria-expanded", String(open));
    }

    function hide() {
      if (panel.hidden) return;
      turn(false);
      launch.focus();
    }

    launch.addEventListener("click", show);
    close.addEventListener("click", hide);
    panel.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    window.addEventListener("message", (event) => {
      if (event.source !== frame?.contentWindow || event.origin !== gateway.origin) return;
      if (event.data === "chat:ready") bar.hidden = true; // the page has one of its own
      else if (event.data === "chat:close") hide();
    });

    const host = document.createElement("chat-gateway"); // an element name that no style rule of the site matches
    const shadow = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // unlike a style element, a site's Content-Security-Policy allows it
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(root);
    document.body.append(host);
    root.style.setProperty("--color", color);
    root.style.setProperty("--on-color", readableOn(launch));
  }

  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
