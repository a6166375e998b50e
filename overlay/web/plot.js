/** Small live plots on canvas. Each draws what it is given, at the canvas's displayed size, and keeps nothing. */

const INK = { line: "#2b3038", faint: "#7f8896", soft: "#a6aebb", budget: "#ff7d76" };

/** Clears the canvas at device resolution. @returns the context in CSS pixels, or null while the canvas is not laid out */
function begin(canvas) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const context = width > 0 && height > 0 ? canvas.getContext("2d") : null;
  if (!context) return null;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  context.font = "11.5px system-ui, 'Liberation Sans', sans-serif";
  return { context, width, height };
}

/** A round number at or above `value`: 1, 2, 2.5 or 5 times a power of ten. */
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value - 1e-9) * power;
}

/** Runs of numbers between gaps (null): [[index, value], ...] each. */
export function runs(values) {
  const all = [];
  let run = [];
  values.forEach((value, index) => {
    if (Number.isFinite(value)) run.push([index, value]);
    else if (run.length > 0) {
      all.push(run);
      run = [];
    }
  });
  if (run.length > 0) all.push(run);
  return all;
}

function trace(context, points) {
  context.beginPath();
  points.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
}

/**
 * A line with a faint area below; newest at the right edge.
 *
 * @param {(number|null)[]} values one per second, null where nothing was measured
 * @param {{color: string, slots: number, ceiling?: number, limit?: number|null}} look slots: seconds across; limit: a dashed line
 */
export function sparkline(canvas, values, { color, slots, ceiling = 0, limit = null }) {
  const area = begin(canvas);
  if (!area) return;
  const { context, width, height } = area;
  const top = Math.max(ceiling, niceCeiling(Math.max(0, limit ?? 0, ...values.filter(Number.isFinite))));
  const x = (index) => width - 2 - ((values.length - 1 - index) * (width - 4)) / Math.max(1, slots - 1);
  const y = (value) => height - 2 - (Math.min(value, top) / top) * (height - 5);
  for (const run of runs(values)) {
    const points = run.map(([index, value]) => [x(index), y(value)]);
    trace(context, points);
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(points.at(-1)[0], height);
    context.lineTo(points[0][0], height);
    context.globalAlpha = 0.14;
    context.fillStyle = color;
    context.fill();
    context.globalAlpha = 1;
  }
  if (limit !== null) dashed(context, 0, width, y(limit));
}

function dashed(context, from, to, y) {
  context.setLineDash([5, 4]);
  trace(context, [[from, y], [to, y]]);
  context.strokeStyle = INK.budget;
  context.lineWidth = 1.25;
  context.stroke();
  context.setLineDash([]);
}

/**
 * Stages over time, stacked, with the budget across and one measured total on top.
 *
 * @param {{name: string, color: string, values: (number|null)[]}[]} layers from the bottom up
 * @param {{slots: number, budget: number|null, total: (number|null)[], unit: string}} look
 */
export function stackedTimeline(canvas, layers, { slots, budget, total, unit }) {
  const area = begin(canvas);
  if (!area) return;
  const { context, width, height } = area;
  const left = 58;
  const bottom = height - 20;
  const length = Math.max(0, ...layers.map((layer) => layer.values.length), total.length);
  const sums = Array.from({ length }, (_, index) => {
    const here = layers.map((layer) => layer.values[index]);
    return here.every((value) => !Number.isFinite(value)) ? null : here.reduce((sum, value) => sum + (value || 0), 0);
  });
  const top = niceCeiling(Math.max(budget ?? 0, ...sums.filter(Number.isFinite), ...total.filter(Number.isFinite)) * 1.05);
  const x = (index) => width - 1 - ((length - 1 - index) * (width - left - 1)) / Math.max(1, slots - 1);
  const y = (value) => bottom - (Math.min(value, top) / top) * (bottom - 8);
  grid(context, { left, width, bottom, top, y, slots, unit });
  const floor = new Array(length).fill(0);
  for (const { color, values } of layers) {
    for (const run of runs(sums)) {
      const upper = run.map(([index]) => [x(index), y(floor[index] + (values[index] || 0))]);
      const lower = run.map(([index]) => [x(index), y(floor[index])]).reverse();
      trace(context, [...upper, ...lower]);
      context.fillStyle = color;
      context.globalAlpha = 0.82;
      context.fill();
      context.globalAlpha = 1;
    }
    for (let index = 0; index < length; index++) floor[index] += values[index] || 0;
  }
  for (const run of runs(total)) {
    trace(context, run.map(([index, value]) => [x(index), y(value)]));
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.stroke();
  }
  if (budget) dashed(context, left, width, y(budget));
}

function grid(context, { left, width, bottom, top, y, slots, unit }) {
  context.fillStyle = INK.faint;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let step = 0; step <= 4; step++) {
    const value = (top * step) / 4;
    trace(context, [[left, y(value)], [width, y(value)]]);
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    context.stroke();
    context.fillText(`${Number(value.toFixed(1))}${step === 4 ? ` ${unit}` : ""}`, left - 6, y(value));
  }
  context.textBaseline = "alphabetic";
  const stride = width - left < 300 ? 2 : 1; // on a phone four labels would run into each other
  for (let step = 0; step <= 4; step += stride) {
    const ago = Math.round((slots * (4 - step)) / 4);
    context.textAlign = step === 0 ? "left" : step === 4 ? "right" : "center";
    context.fillText(ago === 0 ? "now" : `${ago} s ago`, left + ((width - left) * step) / 4, bottom + 15);
  }
}

/**
 * One horizontal bar per percentile: its stages side by side, a tick at the measured total, the budget across all.
 *
 * @param {{name: string, parts: {color: string, value: number}[], total: number|null}[]} bars
 */
export function stackedBars(canvas, bars, { budget, unit }) {
  const area = begin(canvas);
  if (!area) return;
  const { context, width, height } = area;
  const left = 34;
  const sum = (bar) => bar.parts.reduce((all, part) => all + part.value, 0);
  const top = niceCeiling(Math.max(budget ?? 0, ...bars.map((bar) => Math.max(sum(bar), bar.total ?? 0))) * 1.02);
  const x = (value) => left + (Math.min(value, top) / top) * (width - left - 6);
  const pitch = (height - 22) / bars.length;
  bars.forEach((bar, row) => {
    const y = row * pitch + 4;
    const thick = pitch - 10;
    context.fillStyle = INK.soft;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(bar.name, 0, y + thick / 2);
    let from = 0;
    for (const { color, value } of bar.parts) {
      context.fillStyle = color;
      context.fillRect(x(from), y, Math.max(0, x(from + value) - x(from) - 0.5), thick);
      from += value;
    }
    if (bar.total !== null) {
      context.fillStyle = "#fff";
      context.fillRect(x(bar.total) - 1, y - 3, 2, thick + 6);
    }
  });
  context.textBaseline = "alphabetic";
  context.fillStyle = INK.faint;
  context.textAlign = "left";
  context.fillText("0", left, height - 4);
  context.textAlign = "right";
  context.fillText(`${top} ${unit}`, width, height - 4);
  if (!budget) return;
  context.setLineDash([5, 4]);
  trace(context, [[x(budget), 0], [x(budget), height - 18]]);
  context.strokeStyle = INK.budget;
  context.lineWidth = 1.25;
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = INK.budget;
  context.textAlign = "center";
  context.fillText(`budget ${budget}`, Math.min(width - 60, Math.max(left + 40, x(budget))), height - 4);
}
