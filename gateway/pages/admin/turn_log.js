// Shows the log lines of a turn as they come: <section data-log="address of the events">.
"use strict";

(() => {
  const section = document.querySelector("[data-log]");
  if (!section) return;
  const rows = section.querySelector("tbody");
  const state = section.querySelector("[role=status]");
  const MOST_ROWS = 1000;
  let source = null;

  const cell = (row, text, name) => {
    const made = row.insertCell();
    if (name) made.className = name;
    made.textContent = text;
    return made;
  };

  const clock = (seconds) => new Date(1000 * seconds).toISOString().slice(11, 23);

  const show = (line) => {
    const row = rows.insertRow();
    row.className = line.level;
    cell(row, clock(line.at), "time");
    cell(row, line.level, "time");
    const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${value}`);
    const text = cell(row, "", "text");
    text.append(line.event, " ", Object.assign(document.createElement("code"), { textContent: fields.join(" ") }));
    cell(row, line.logger, "soft");
    cell(row, line.process, "soft");
    if (rows.rows.length > MOST_ROWS) rows.deleteRow(0);
  };

  const open = () => {
    source = new EventSource(section.dataset.log);
    source.onopen = () => { state.textContent = "Live."; };
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => { state.textContent = "Interrupted; the page keeps trying."; };
    source.addEventListener("end", () => {
      source.close();
      source = null;
      state.textContent = rows.rows.length ? "The turn has ended." : "The turn has ended, and its lines are not kept.";
    });
  };

  addEventListener("pagehide", () => source?.close());
  open();
})();
