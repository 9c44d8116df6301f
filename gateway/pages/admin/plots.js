// Draws the plots of the overview with uPlot from the page's data-plots. Draws again on new data, when the window is
// resized, and when the colours change.
"use strict";

(() => {
  const HEIGHT = 180;
  const COLOURS = 4;
  const MOST_SAMPLES = 720;
  const root = document.getElementById("plots");
  const probe = document.createElement("span");
  const drawn = new Map();
  const samples = [];
  probe.hidden = true;
  root.append(probe);

  // A canvas does not resolve CSS variables or light-dark(), so an element's computed colour is read.
  const colour = (name, share = 100) => {
    probe.style.color = `color-mix(in srgb, var(--${name}) ${share}%, transparent)`;
    return getComputedStyle(probe).color;
  };
  const seriesColour = (index) => colour(`series-${(index % COLOURS) + 1}`, index < COLOURS ? 100 : 50);

  const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const seconds = (value) =>
    value < 1 ? `${short.format(1000 * value)} ms` : value < 60 ? `${short.format(value)} s`
      : value < 3600 ? `${short.format(value / 60)} min` : `${short.format(value / 3600)} h`;
  const cost = (value) => `${root.dataset.currency}${value && value < 0.01 ? value.toPrecision(2) : value.toFixed(2)}`;
  const written = (unit) => (value) =>
    value === null || value === undefined ? "–" : value === 0 ? "0" : unit === "s" ? seconds(value) : unit === "cost" ? cost(value) : short.format(value);

  const two = (number) => String(number).padStart(2, "0");
  const times = (_, ticks, __, ___, apart) =>
    ticks.map((tick) => {
      const at = new Date(1000 * tick);
      const day = `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
      if (apart >= 86400 || tick % 86400 === 0) return day;
      return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${apart < 60 ? `:${two(at.getUTCSeconds())}` : ""}`;
    });
  const WHOLE = [1, 2, 5].flatMap((digit) => [...Array(9).keys()].map((zeros) => digit * 10 ** zeros)).sort((a, b) => a - b);
  const AGES = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 6 * 3600, 86400, 7 * 86400];

  const axis = (more) => ({
    stroke: colour("ink-soft"),
    font: `12px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
    ...more,
  });

  // A single value between two gaps makes no line, so it is drawn as a point.
  const lone = (chart, index, show) => {
    if (show) return null;
    const values = chart.data[index];
    const there = (place) => values[place] !== null && values[place] !== undefined;
    return values.map((_, place) => place).filter((place) => there(place) && !there(place - 1) && !there(place + 1));
  };

  const columns = (plot) => plot.series.map((series) => series.values);
  const stack = (plot) => {
    const below = plot.at.map(() => 0);
    return columns(plot).map((values) => values.map((value, place) => (below[place] += value)));
  };

  const KINDS = {
    lines: {
      data: (plot) => [plot.at, ...columns(plot)],
      order: (plot) => plot.series.map((_, index) => index),
      look: (paint) => ({ stroke: paint, width: 1.75, points: { size: 4, fill: paint, filter: lone } }),
    },
    bars: {
      data: (plot) => [plot.at, ...stack(plot).reverse()],
      order: (plot) => plot.series.map((_, index) => index).reverse(), // the highest stacked bar first, the lower ones over it
      look: (paint) => ({ fill: paint, stroke: paint, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 48], align: 1 }) }),
    },
    queue: {
      data: (plot) => [plot.at, ...columns(plot)],
      order: (plot) => plot.series.map((_, index) => index),
      look: (paint, name) => ({ stroke: paint, width: 1.75, points: { size: 4, fill: paint }, ...(name === "oldest" && { scale: "age", dash: [4, 4] }) }),
    },
  };

  const options = (plot, width, now) => {
    const kind = KINDS[plot.kind];
    const write = written(plot.unit);
    const fromZero = (_, __, most) => [0, most > 0 ? 1.1 * most : 1];
    const right = plot.kind === "queue";
    return {
      width,
      height: HEIGHT,
      padding: [8, right ? 0 : 20, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(1000 * at), "Etc/UTC"),
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { range: () => [now.plot.at[0], Math.max(now.plot.at.at(-1) + now.plot.step, now.plot.at[0] + (right ? 60 : 1))] },
        y: { range: fromZero },
        ...(right && { age: { range: fromZero } }),
      },
      axes: [
        axis({ space: 64, size: 30, values: times }),
        axis({ size: 52, values: (_, ticks) => ticks.map(write), ...(plot.unit === "turns" && { incrs: WHOLE }) }),
        ...(right ? [axis({ scale: "age", side: 1, size: 52, grid: { show: false }, incrs: AGES, values: (_, ticks) => ticks.map(seconds) })] : []),
      ],
      series: [
        { label: "UTC", value: plot.step >= 86400 ? "{YYYY}-{MM}-{DD}" : "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...kind.order(plot).map((index) => ({
          label: plot.series[index].name,
          value: (_, __, ___, place) =>
            place === null ? "–" : (plot.series[index].name === "oldest" ? seconds : write)(now.plot.series[index].values[place]),
          ...kind.look(seriesColour(index), plot.series[index].name),
        })),
      ],
    };
  };

  const names = (plot) => plot.series.map((series) => series.name).join("\n");

  const draw = (plot) => {
    const place = document.querySelector(`#plot-${plot.name} .canvas`);
    const known = drawn.get(plot.name);
    if (known && names(known.plot) === names(plot)) {
      known.plot = plot;
      known.chart.setData(KINDS[plot.kind].data(plot));
      return;
    }
    known?.chart.destroy();
    drawn.delete(plot.name);
    place.replaceChildren();
    if (!plot.series.length) {
      place.textContent = "No data in this time range.";
      return;
    }
    const now = { plot };
    now.chart = new uPlot(options(plot, place.clientWidth, now), KINDS[plot.kind].data(plot), place);
    drawn.set(plot.name, now);
  };

  // The gateway sends only the current queue length. The history is what this page has received while open.
  const remembered = (plot) => {
    samples.push(plot);
    if (samples.length > MOST_SAMPLES) samples.shift();
    const at = samples.map((sample) => sample.at[0]);
    const value = (sample, name) => sample.series.find((series) => series.name === name)?.values[0] ?? null;
    const series = plot.series.map(({ name }) => ({ name, values: samples.map((sample) => value(sample, name)) }));
    return { ...plot, at, series };
  };

  const take = (page) => {
    for (const plot of JSON.parse(page.getElementById("plots").dataset.plots)) {
      draw(plot.kind === "queue" ? remembered(plot) : plot);
    }
  };

  const redraw = () => {
    const plots = [...drawn.values()].map((known) => known.plot);
    for (const known of drawn.values()) known.chart.destroy();
    drawn.clear();
    plots.forEach(draw);
  };

  take(document);
  document.addEventListener("fresh", (event) => take(event.detail));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => {
    for (const { chart } of drawn.values()) {
      const width = chart.root.parentElement.clientWidth;
      if (width && width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  }).observe(root);
})();
