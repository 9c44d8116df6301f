const { GATEWAY_URL, GATEWAY_KEY } = process.env;

const response = await fetch(`${GATEWAY_URL}/chat`, {
  method: "POST",
  headers: { Authorization: `Bearer ${GATEWAY_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ message: "Hello", stream: true }),
});
if (!response.ok) throw new Error(await response.text());

let rest = "";
for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
  const events = (rest + piece).split("\n\n");
  rest = events.pop(); // not complete yet
  for (const event of events) {
    const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    if (fields.event) console.log(fields.event, JSON.parse(fields.data));
  }
}
