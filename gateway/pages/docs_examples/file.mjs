import { openAsBlob } from "node:fs";
import { basename } from "node:path";

const { GATEWAY_URL, GATEWAY_KEY, FILE } = process.env;

const form = new FormData();
form.set("message", "What does this say?");
form.set("file", await openAsBlob(FILE), basename(FILE)); // in a browser: a file of an <input type="file">
const response = await fetch(`${GATEWAY_URL}/chat`, {
  method: "POST",
  headers: { Authorization: `Bearer ${GATEWAY_KEY}` },
  body: form,
});
if (!response.ok) throw new Error(await response.text());
const answer = await response.json();
console.log(answer.response);
