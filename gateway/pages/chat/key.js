// Asks for the API key and keeps it until this tab is closed. The key is never part of a URL.

import { passing } from "./memory.js";
import { sentence } from "./sentences.js";

const dialog = document.getElementById("key");
const input = document.getElementById("key-value");
const complaint = document.getElementById("key-problem");
const change = document.getElementById("change-key");

let asking = null;

export const known = () => passing.get("key");

/**
 * Asks until a valid key is entered.
 * @param {(key: string) => Promise<boolean>} takes
 * @param {boolean} refused whether the previous key was refused
 * @returns {Promise<string>}
 */
export function ask(takes, refused) {
  asking ??= open(takes, refused).finally(() => { asking = null; });
  return asking;
}

/** Shows the button that changes the key, once there is a key. */
export function offerChange(forget) {
  change.hidden = !known();
  change.onclick = () => {
    passing.remove("key");
    forget();
  };
}

function open(takes, refused) {
  complain(refused ? sentence("This key is no longer valid.") : "");
  input.value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.querySelector("form").onsubmit = async (event) => {
      event.preventDefault();
      const key = input.value.trim();
      const problem = await why(takes, key);
      if (problem) {
        complain(problem);
        input.select();
        return;
      }
      passing.set("key", key);
      change.hidden = false;
      dialog.close();
      resolve(key);
    };
  });
}

async function why(takes, key) {
  if (!/^[\x21-\x7e]+( *[\x21-\x7e]+)*$/.test(key)) return sentence("The key contains characters that no key has.");
  try {
    return (await takes(key)) ? "" : sentence("This key is not valid. Check that it is complete.");
  } catch {
    return sentence("The gateway cannot be reached. Please try again.");
  }
}

function complain(words) {
  complaint.textContent = words;
  complaint.hidden = !words;
}

// Without a key there is nothing to show, so the dialog cannot be closed.
dialog.addEventListener("cancel", (event) => event.preventDefault());
