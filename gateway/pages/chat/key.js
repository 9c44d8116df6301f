// Asks for the API key, and keeps it as long as this tab is open. It is never part of an address.

import { passing } from "./memory.js";

const dialog = document.getElementById("key");
const input = document.getElementById("key-value");
const complaint = document.getElementById("key-problem");
const change = document.getElementById("change-key");

let asking = null;

export const known = () => passing.get("key");

/**
 * Ask until there is a key that is taken.
 * @param {(key: string) => Promise<boolean>} takes
 * @param {boolean} refused whether the one before was not taken
 * @returns {Promise<string>}
 */
export function ask(takes, refused) {
  asking ??= open(takes, refused).finally(() => { asking = null; });
  return asking;
}

/** Offer to take another key, once there is one. */
export function offerChange(forget) {
  change.hidden = !known();
  change.onclick = () => {
    passing.remove("key");
    forget();
  };
}

function open(takes, refused) {
  complain(refused ? "This key is not taken any more." : "");
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
  if (!/^[\x21-\x7e]+( *[\x21-\x7e]+)*$/.test(key)) return "A key has no such characters.";
  try {
    return (await takes(key)) ? "" : "This key is not taken. Look whether it is complete.";
  } catch {
    return "The gateway cannot be reached. Please try again.";
  }
}

function complain(words) {
  complaint.textContent = words;
  complaint.hidden = !words;
}

// There is nothing to see without a key.
dialog.addEventListener("cancel", (event) => event.preventDefault());
