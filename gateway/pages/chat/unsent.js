// Keeps the message of this tab that the gateway has not confirmed yet, with its files, so that a reload loses nothing.

import { passing } from "./memory.js";

const DAY = 86_400_000;
const placeOf = (asked) => [asked.at, asked.key];

/** Resolves when the message is kept. One with files that the browser does not store is not. */
export async function keep(asked) {
  const { files, ...rest } = asked;
  try {
    if (files.length) await inStore("readwrite", (store) => store.put(files, placeOf(asked)));
    passing.set("asked", JSON.stringify({ ...rest, hasFiles: files.length > 0 }));
  } catch {
    drop();
  }
}

/** Returns the message that is kept, or null. */
export async function recall() {
  const { hasFiles, ...asked } = JSON.parse(passing.get("asked") ?? "{}");
  if (!asked.key) return null;
  const files = hasFiles ? await inStore("readonly", (store) => store.get(placeOf(asked))).catch(() => null) : [];
  return files && { ...asked, files };
}

/** Forgets the message, and files that tabs which were closed have left. */
export function drop() {
  const { hasFiles, ...asked } = JSON.parse(passing.get("asked") ?? "{}");
  passing.remove("asked");
  if (!hasFiles) return;
  inStore("readwrite", (store) => {
    store.delete(placeOf(asked));
    return store.delete(IDBKeyRange.upperBound([Date.now() - DAY]));
  }).catch(() => {}); // they are deleted another day
}

/**
 * Works on the store of files, and returns the result of the request.
 * @param {(store: IDBObjectStore) => IDBRequest} work
 */
function inStore(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("chat", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("files");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction("files", mode);
      const request = work(transaction.objectStore("files"));
      transaction.oncomplete = () => { database.close(); resolve(request.result); };
      transaction.onabort = () => { database.close(); reject(transaction.error); };
    };
  });
}
