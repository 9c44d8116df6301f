// What a program with OpenAI's SDK for Node does: prints what it got as JSON.
// Arguments: the folder of the SDK, the address of the API, the key.
const [, , sdk, baseURL, apiKey] = process.argv;
const { default: OpenAI } = await import(`${sdk}/index.mjs`);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "default";
const parameters = { type: "object", properties: { city: { type: "string" } } };
const got = {};

got.models = (await client.models.list()).data.map((each) => each.id);
const messages = [{ role: "user", content: "Hello" }];
const answer = await client.chat.completions.create({ model, messages });
got.completion = answer.choices[0].message.content;

const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
got.streamed = await stream.finalContent();
got.usage = (await stream.totalUsage()).total_tokens > 0;

const weather = { name: "weather", parameters, parse: JSON.parse, function: ({ city }) => `sunny in ${city}` };
const runner = client.chat.completions.runTools({ model, messages, tools: [{ type: "function", function: weather }] });
got.ran = await runner.finalContent();

const first = await client.responses.create({ model, input: "one" });
const next = client.responses.stream({ model, input: "two", previous_response_id: first.id });
got.events = [];
for await (const event of next) got.events.push(event.type);
got.response = (await next.finalResponse()).output_text;

const conversation = await client.conversations.create({});
await client.responses.create({ model, input: "I am Ann", conversation: conversation.id });
got.items = [];
for await (const item of client.conversations.items.list(conversation.id, { order: "asc", limit: 1 }))
  got.items.push(item.content[0].text);

try {
  await client.chat.completions.create({ model: "gpt-9", messages });
} catch (error) {
  got.error = [error.status, error.code];
}
console.log(JSON.stringify(got));
