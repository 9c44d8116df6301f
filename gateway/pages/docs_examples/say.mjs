const { GATEWAY_URL, GATEWAY_KEY } = process.env;

const response = await fetch(`${GATEWAY_URL}/chat`, {
  method: "POST",
  headers: { Authorization: `Bearer ${GATEWAY_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ message: "Hello" }),
});
if (!response.ok) throw new Error(await response.text());
const answer = await response.json();
console.log(answer.response);
