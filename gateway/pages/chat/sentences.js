// Says the page's own sentences in the language of the page.

let known = null;

/**
 * @param {string} english the sentence, as the gateway's catalogues know it, with the names of values in braces
 * @param {Record<string, string | number>} [values]
 */
export function sentence(english, values = {}) {
  known ??= JSON.parse(document.getElementById("sentences").textContent);
  return (known[english] ?? english).replaceAll(/\{(\w+)\}/g, (_, name) => values[name]);
}
