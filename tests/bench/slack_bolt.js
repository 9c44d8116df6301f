// Baseline: @slack/bolt in Node as commonly used, threads in a Map, the assistant called in the listener.
// Favourable to Bolt: one call gets the reply, and events are neither stored nor deduplicated.
"use strict";

const { App } = require("@slack/bolt");

const [openai, slack, token, signingSecret] = process.argv.slice(2);
const threads = new Map();
const app = new App({ token, signingSecret, clientOptions: { slackApiUrl: `${slack}/api/` } });

app.message(async ({ message, say }) => {
  const topic = message.thread_ts || message.ts;
  const asked = { model: "gpt-test", input: message.text, previous_response_id: threads.get(topic) };
  const answer = await fetch(`${openai}/responses`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: "Bearer sk-test" },
    body: JSON.stringify(asked),
  });
  const said = await answer.json();
  threads.set(topic, said.id);
  const text = said.output.flatMap((item) => item.content || []).map((part) => part.text).join("");
  await say({ text, thread_ts: topic });
});

app.start({ port: 0, host: "127.0.0.1" }).then((server) => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`);
});
