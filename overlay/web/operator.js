/** The operator's page: one look says whether it is well, a second one where the time goes. */

import { byId, count, getJson, h, keepKey, poll, setText, takeKey } from "./page.js";
import { fleetPanel } from "./fleet.js";
import { sparkline, stackedBars, stackedTimeline } from "./plot.js";

const SLOTS = 120; // seconds of history, one sample each
const STALE_MS = 4000;
const STAGES = {
  receive: "#5f8fe8", queue: "#7d76dc", pixels: "#4fb0bf", preprocess: "#8fc7d6", detect: "#f2c879", decode: "#d69a5c", resume: "#a9895f",
  track: "#6fcf9f", embed: "#d98cb3", match: "#b9a5ee", publish: "#93a4b8",
};
const OTHER = "#6d7683";
const FRAME_WORDS = {
  in: "Received", detected: "Detected", propagated: "Boxes carried on", dropped: "Dropped", cancelled: "Cancelled runs", failed: "Failed",
};

const number = (value) => (Number.isFinite(value) ? value : null);
const show = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(Math.abs(value) >= 100 ? 0 : digits) : "–");
const percentile = (figures, q) => number(figures?.[q]);

let key = takeKey("operator");
let chosen = "";
let answer = null;
let answeredMs = 0;
let fleetProblems = [];
/** @type {Map<string, {time: number[], stages: Map<string, {p50: (number|null)[], p95: (number|null)[]}>, lines: Map<string, (number|null)[]>}>} */
const histories = new Map();

// ---- what is remembered

function push(list, value) {
  list.push(value);
  if (list.length > SLOTS) list.splice(0, list.length - SLOTS);
}

/** Lists of one history all have the same length; a line that begins late begins with gaps. */
function line(map, name, length, make) {
  if (!map.has(name)) map.set(name, make(length));
  return map.get(name);
}

function remember(stream) {
  let history = histories.get(stream.id);
  if (!history) {
    history = { time: [], stages: new Map(), lines: new Map() };
    histories.set(stream.id, history);
  }
  const before = history.time.length;
  const gaps = (length) => new Array(length).fill(null);
  const told = stream.live ? stream.stages_ms ?? {} : {};
  for (const name of Object.keys(told)) line(history.stages, name, before, (n) => ({ p50: gaps(n), p95: gaps(n) }));
  push(history.time, answer.now_ms);
  for (const [name, list] of history.stages) {
    push(list.p50, percentile(told[name], "p50"));
    push(list.p95, percentile(told[name], "p95"));
  }
  const on = (value) => (stream.live ? value : null);
  const lines = {
    age: on(percentile(stream.frame_age_ms, "p95")), staleness: on(percentile(stream.staleness_ms, "p95")),
    overlay: on(percentile(stream.overlay_age_ms, "p95")), fps: on(number(stream.fps_in)), detected: on(number(stream.fps_detected)),
    misses: on(number(stream.budget_misses)), viewers: number(stream.viewers),
  };
  for (const [name, value] of Object.entries(lines)) push(line(history.lines, name, before, gaps), value);
}

/** How many more per second, from a counter. */
function differences(values) {
  return values.map((value, index) => (index > 0 && value !== null && values[index - 1] !== null ? Math.max(0, value - values[index - 1]) : null));
}

// ---- what is shown

const tiles = new Map();

/** One key figure: title, number, words below, two minutes of it. */
function tile(name, title, value, unit, words, tone, values, look) {
  let parts = tiles.get(name);
  if (!parts) {
    parts = { value: h("span.value"), unit: h("span.unit"), words: h("p.words"), plot: h("canvas", { "aria-hidden": "true" }) };
    parts.box = h("article.tile", {}, h("h2", {}, title), h("p.number", {}, parts.value, " ", parts.unit), parts.words, parts.plot);
    tiles.set(name, parts);
    byId("tiles").append(parts.box);
  }
  setText(parts.value, value);
  setText(parts.unit, unit);
  setText(parts.words, words);
  parts.box.dataset.tone = tone;
  sparkline(parts.plot, values, { slots: SLOTS, color: { good: "#6fcf9f", warn: "#f0b75a", bad: "#ff7d76" }[tone] ?? "#8fb0e8", ...look });
}

/** good below `fine` of the limit, warn up to it, bad above. */
function tone(value, limit, fine = 0.85) {
  if (!Number.isFinite(value) || !limit) return "plain";
  return value <= limit * fine ? "good" : value <= limit ? "warn" : "bad";
}

function showTiles(stream, { lines }) {
  const budget = number(stream.budget_ms);
  const age = percentile(stream.frame_age_ms, "p95");
  tile("age", "Frame age, p95", show(age), "ms", budget ? `budget ${budget} ms, p50 ${show(percentile(stream.frame_age_ms, "p50"))} ms` : "", tone(age, budget),
    lines.get("age"), { limit: budget });
  const stale = percentile(stream.staleness_ms, "p95");
  tile("staleness", "Detection staleness, p95", show(stale), "ms", `p50 ${show(percentile(stream.staleness_ms, "p50"))} ms, limit 100 ms`, tone(stale, 100),
    lines.get("staleness"), { limit: 100 });
  const overlay = percentile(stream.overlay_age_ms, "p95");
  tile("overlay", "Overlay age seen, p95", show(overlay), "ms", `p50 ${show(percentile(stream.overlay_age_ms, "p50"))}, held back ${show(stream.latency_ms, 0)} ms`, "plain", lines.get("overlay"), {});
  const recent = differences(lines.get("misses")).slice(-10).reduce((sum, value) => sum + (value ?? 0), 0);
  tile("misses", "Budget misses, last 10 s", String(recent), "", `${show(stream.budget_misses, 0)} since the start`, recent === 0 ? "good" : recent < 5 ? "warn" : "bad",
    differences(lines.get("misses")), { ceiling: 5 });
  const fps = number(stream.fps_in);
  tile("fps", "Pictures a second", show(fps), "in", `${show(stream.fps_detected)} detected`, "plain", lines.get("fps"), { ceiling: 30 });
  tile("viewers", "Viewers", show(stream.viewers, 0), "", stream.live ? "" : "off air", "plain", lines.get("viewers"), { ceiling: 4 });
}

/** Known stages in the order of the pipeline, then any other. */
function stageNames(history) {
  const known = Object.keys(STAGES).filter((name) => history.stages.has(name));
  return [...known, ...[...history.stages.keys()].filter((name) => !(name in STAGES))];
}

function showTime(stream, history) {
  const names = stageNames(history);
  const layers = names.map((name) => ({ name, color: STAGES[name] ?? OTHER, values: history.stages.get(name).p50 }));
  const budget = number(stream.budget_ms);
  stackedTimeline(byId("timeline"), layers, { slots: SLOTS, budget, total: history.lines.get("age"), unit: "ms" });
  const bars = ["p50", "p95", "p99"].map((q) => ({
    name: q, total: percentile(stream.frame_age_ms, q),
    parts: names.map((name) => ({ color: STAGES[name] ?? OTHER, value: percentile(stream.stages_ms?.[name], q) ?? 0 })),
  }));
  stackedBars(byId("bars"), bars, { budget, unit: "ms" });
  rows(byId("legend"), names, (name) => h("li", {}, swatch(name), name));
}

function swatch(name) {
  const mark = h("span.swatch");
  mark.style.background = STAGES[name] ?? OTHER;
  return mark;
}

/** Rebuilds a list only when its content differs, so that selections and readers stay where they are. */
function rows(parent, items, make) {
  const look = JSON.stringify(items);
  if (parent.dataset.look === look) return;
  parent.dataset.look = look;
  parent.replaceChildren(...items.map(make));
}

const lanes = new Map();

function showStages(stream, history) {
  const body = byId("stages");
  const names = stageNames(history);
  if (body.dataset.names !== String(names)) {
    body.dataset.names = String(names);
    lanes.clear();
    body.replaceChildren(...names.map((name) => {
      const lane = { cells: [h("td"), h("td"), h("td")], plot: h("canvas", { "aria-hidden": "true" }) };
      lanes.set(name, lane);
      return h("tr", {}, h("th", { scope: "row" }, swatch(name), name), ...lane.cells, h("td.lane", {}, lane.plot));
    }));
  }
  for (const name of names) {
    const { cells, plot } = lanes.get(name);
    ["p50", "p95", "p99"].forEach((q, index) => setText(cells[index], show(percentile(stream.stages_ms?.[name], q))));
    sparkline(plot, history.stages.get(name).p95, { slots: SLOTS, color: STAGES[name] ?? OTHER });
  }
}

function showFrames(stream) {
  const all = Object.entries(stream.frames ?? {}).map(([name, value]) => [FRAME_WORDS[name] ?? name, value]);
  const drops = Object.entries(stream.drops ?? {}).map(([reason, value]) => [
    reason === "unwatched" ? "Not decoded, nobody watched" : `Dropped: ${reason}`, value,
  ]);
  rows(byId("frames"), [...all, ...drops], ([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, show(value, 0))));
  const spots = (Array.isArray(stream.hotspots) ? stream.hotspots : []).slice(0, 12);
  byId("no-spots").hidden = spots.length > 0;
  rows(byId("spots"), spots, ({ title, product_id: id, state, score, reason }) =>
    h("tr", {}, h("th", { scope: "row" }, String(title || id || "not known")), h("td", {}, String(state ?? "")), h("td", {}, show(score, 2)), h("td", {}, String(reason ?? ""))));
}

function sourceWords({ live, source, epoch, node }) {
  if (!live || !source) return "Off air. Nobody is publishing.";
  const how = source.transcoded ? "transcoded for viewers (B-frames or HEVC cannot be passed through)" : "passed through to viewers";
  return [source.description, source.codec, `${source.width} × ${source.height}`, source.has_audio ? "with sound" : "no sound", how,
    `connection ${epoch}`, node ? `on ${node}` : ""].filter(Boolean).join(" · ");
}

function showTabs(streams) {
  rows(byId("tabs"), streams.map(({ id, live, viewers, problems }) => [id, live, viewers, Array.isArray(problems) && problems.length > 0, id === chosen]), ([id, live, viewers, wrong, current]) =>
    h("button.tab", { type: "button", "aria-current": current ? "true" : null, onclick: () => { chosen = id; draw(); } },
      h("span.dot", { "data-tone": wrong ? "warn" : live ? "live" : "idle" }), id,
      h("span.hush", {}, wrong ? ", has problems" : live ? ", live" : ", off air"), live ? h("span.count", { title: count(viewers, "viewer") }, String(viewers)) : null));
}

function draw() {
  if (!answer) return;
  const streams = (Array.isArray(answer.streams) ? answer.streams : []).filter((stream) => typeof stream?.id === "string");
  if (!streams.some((stream) => stream.id === chosen)) chosen = (streams.find((stream) => stream.live) ?? streams[0])?.id ?? "";
  showTabs(streams);
  const stream = streams.find(({ id }) => id === chosen);
  const history = histories.get(chosen);
  byId("board").classList.toggle("off-air", !stream?.live);
  setText(byId("source"), stream ? sourceWords(stream) : "No show is set up on this server.");
  if (!stream || !history) return;
  showTiles(stream, history);
  showTime(stream, history);
  showStages(stream, history);
  showFrames(stream);
}

function uptime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What the figures say when the server says nothing. */
function findings(stream) {
  if (!stream?.live) return [];
  const words = [];
  const budget = number(stream.budget_ms);
  const age = percentile(stream.frame_age_ms, "p95");
  if (budget && age > budget) {
    const stages = Object.entries(stream.stages_ms ?? {}).map(([name, figures]) => [name, percentile(figures, "p95") ?? 0]);
    const [slowest, took] = stages.sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
    words.push(`${stream.id}: boxes take ${show(age)} ms at p95, over the budget of ${budget} ms${slowest ? `; the longest stage is ${slowest} with ${show(took)} ms` : ""}.`);
  }
  const stale = percentile(stream.staleness_ms, "p95");
  if (stale > 100) words.push(`${stream.id}: the newest detection is ${show(stale)} ms behind the picture at p95; more than 100 ms shows.`);
  if (number(stream.fps_in) === 0) words.push(`${stream.id}: no pictures arrive although somebody is publishing.`);
  return words;
}

/** What is wrong, in words: the server's own, each stream's, and whether this page still hears from it. */
function showHealth(unreachable) {
  const silent = performance.now() - answeredMs;
  const streams = Array.isArray(answer?.streams) ? answer.streams : [];
  const told = (list) => (Array.isArray(list) ? list.map(String) : []);
  const untold = streams.filter(({ id }) => !fleetProblems.some((words) => words.startsWith(`stream ${id} on `)));
  const each = untold.flatMap((stream) => (told(stream?.problems).length > 0 ? told(stream.problems) : findings(stream)));
  const problems = [...new Set([...told(answer?.problems), ...fleetProblems, ...each])];
  if (unreachable) problems.unshift(answer ? `${unreachable} The figures below are ${Math.round(silent / 1000)} s old.` : unreachable);
  rows(byId("problems"), problems, (words) => h("li", {}, words));
  const badge = byId("badge");
  const state = unreachable ? ["bad", "Unreachable"] : problems.length > 0 ? ["warn", count(problems.length, "problem")] : ["good", "All well"];
  badge.dataset.tone = state[0];
  setText(byId("badge-words"), state[1]);
  byId("board").classList.toggle("stale", Boolean(unreachable) && silent > STALE_MS);
}

function openDoor(words) {
  byId("door").hidden = false;
  byId("board").hidden = true;
  setText(byId("door-words"), words);
  byId("badge").dataset.tone = "idle";
  setText(byId("badge-words"), "Key needed");
}

byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  keepKey("operator", key);
  byId("door").hidden = true;
  round();
});

const fleet = fleetPanel(byId("fleet"));

async function round() {
  if (!byId("door").hidden) return;
  try {
    const got = await getJson("/api/operator", key);
    if (typeof got !== "object" || got === null) throw new Error("The server's figures make no sense.");
    answer = got;
    answeredMs = performance.now();
    const others = await fleet(key);
    fleetProblems = others.problems;
    const own = (Array.isArray(got.streams) ? got.streams : []).filter((stream) => typeof stream?.id === "string");
    got.streams = [...own, ...others.streams.filter(({ id }) => !own.some((stream) => stream.id === id))];
    for (const stream of got.streams) remember(stream);
    byId("board").hidden = false;
    setText(byId("about"), [got.model, got.provider, `up ${uptime(Number(got.uptime_s) || 0)}`, got.version].filter(Boolean).join(" · "));
    showHealth("");
  } catch (error) {
    if (error.status === 401 || error.status === 403) return openDoor(key ? "The server does not accept this key." : "");
    for (const history of histories.values()) for (const list of [...history.lines.values()]) push(list, null);
    for (const history of histories.values()) for (const { p50, p95 } of history.stages.values()) { push(p50, null); push(p95, null); }
    byId("board").hidden = false;
    showHealth(error.name === "TimeoutError" ? "The server does not answer." : error.message);
  }
  draw();
}

new ResizeObserver(() => draw()).observe(byId("board"));
poll(round, 1000);
