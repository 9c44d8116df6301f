// Server-sent events out of a response that is still coming.

/**
 * The name and the data of each event. `alive` is called whenever anything comes, also a line that only keeps the
 * connection open.
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
    reader.cancel().catch(() => {}); // it may be broken already
  }
}

function read(block) {
  const lines = block.split("\n").filter((line) => line && !line.startsWith(":"));
  const fields = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2)));
  return fields.event ? [fields.event, JSON.parse(fields.data)] : null;
}
