// Parses server-sent events from a streaming response.

/**
 * Yields the name and the data of each event. Calls `alive` whenever data arrives, including comment lines that only
 * keep the connection open.
 */
export async function* events(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = read(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may have failed already
  }
}

function read(block) {
  const lines = block.split("\n").filter((line) => line && !line.startsWith(":"));
  const fields = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2)));
  return fields.event ? [fields.event, JSON.parse(fields.data)] : null;
}
