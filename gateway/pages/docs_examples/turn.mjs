const { GATEWAY_URL, GATEWAY_KEY, TURN_ID } = process.env;

const response = await fetch(`${GATEWAY_URL}/chat/turns/${TURN_ID}`, {
  headers: { Authorization: `Bearer ${GATEWAY_KEY}` },
});
if (!response.ok) throw new Error(await response.text());
const turn = await response.json();
console.log(turn.state, turn.response);
