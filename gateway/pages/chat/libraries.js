// Loads libraries that few replies need, when one does. Until then, and where that fails, text stands as it was written.

const SOURCES = {
  highlight: { script: "../vendor/highlightjs/highlight.min.js" },
  temml: { script: "../vendor/temml/temml.mjs", style: "../vendor/temml/Temml-Local.css" },
};
const loaded = new Map();
const asked = new Set();

/** Dispatches "load" for each library that has arrived. */
export const arrivals = new EventTarget();

/** Returns a library, or null while it is not there. The first call loads it. */
export function library(name) {
  if (!asked.has(name)) load(name);
  return loaded.get(name) ?? null;
}

async function load(name) {
  asked.add(name);
  try {
    const { script, style } = SOURCES[name];
    const [module] = await Promise.all([import(script), style && loadStyle(style)]);
    loaded.set(name, module.default);
    arrivals.dispatchEvent(new Event("load"));
  } catch {
    asked.delete(name); // the next reply that needs it tries again
  }
}

function loadStyle(address) {
  return new Promise((resolve, reject) => {
    const href = new URL(address, import.meta.url).href;
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href, onload: resolve, onerror: reject });
    document.head.prepend(link); // before the page's own style, which goes first where both say something
  });
}
