/** The fleet on the operator's page: nodes, streams and what is wrong with them. Nothing is shown of a process that is alone. */

import { getJson, h } from "./page.js";

const TONES = { up: "good", live: "good", draining: "warn", unsure: "warn", silent: "bad", orphaned: "bad" };
const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => String(value ?? "");
const seconds = (ms) => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : "–");
const milliseconds = (ms) => (Number.isFinite(ms) ? `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms` : "–");
const percent = (share) => (Number.isFinite(share) ? `${Math.round(share * 100)} %` : "–");

function uptime(value) {
  const minutes = Math.floor((Number(value) || 0) / 60);
  if (minutes < 1) return `${Math.round(Number(value) || 0)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A word with the colour of what it means. */
function state(word, more = "") {
  return h("span.state", { "data-tone": TONES[word] ?? "idle" }, `${text(word)}${more}`);
}

/** Only http addresses become links. */
function address(node) {
  const shown = text(node.public || node.address);
  return /^https?:\/\//.test(shown) ? h("a", { href: `${shown.replace(/\/+$/, "")}/healthz`, rel: "noreferrer" }, shown) : shown;
}

export function nodeRow(node, me) {
  const name = node.name === me ? `${text(node.name)} (this one)` : text(node.name);
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text(node.role)),
    h("td", {}, state(node.state, node.state === "silent" ? ` for ${seconds(node.silent_ms)}` : "")),
    h("td", { title: node.full || null }, node.full ? "full" : percent(node.load)), h("td", {}, text(node.streams)), h("td", {}, text(node.viewers)),
    h("td", {}, uptime(node.up_s)), h("td", {}, text(node.version)), h("td", {}, address(node)));
}

/** The longest stage of a stream's frames, with what it takes at p95. */
export function longestStage(figures) {
  const stages = Object.entries(figures?.stages_ms ?? {}).filter(([, { p95 } = {}]) => Number.isFinite(p95));
  const [name, took] = stages.sort((a, b) => b[1].p95 - a[1].p95)[0] ?? [];
  return name ? `${name} ${milliseconds(took.p95)}` : "–";
}

/** Frame age beside its budget, red when it is over. */
function age({ frame_age_ms, budget_ms } = {}) {
  const p95 = frame_age_ms?.p95;
  if (!Number.isFinite(p95)) return "–";
  return h("span.state", { "data-tone": p95 > budget_ms ? "bad" : "good" }, `${milliseconds(p95)} of ${Math.round(budget_ms)}`);
}

export function streamRow(stream) {
  const figures = stream.figures ?? {};
  return h("tr", {}, h("th", { scope: "row" }, text(stream.id)), h("td", {}, state(stream.state)), h("td", {}, text(stream.node)), h("td", {}, text(stream.epoch)),
    h("td", {}, text(stream.viewers)), h("td", {}, seconds(stream.lease_age_ms)), h("td", {}, age(figures)), h("td", {}, longestStage(figures)),
    h("td", {}, milliseconds(figures.overlay_age_ms?.p95)));
}

/** A process that is alone has nothing to show. */
export function isFleet(figures) {
  const nodes = list(figures?.nodes);
  return nodes.length > 1 || nodes.some(({ role }) => role !== "all");
}

/**
 * Fills the fleet's panel; call it once a round.
 *
 * @param {HTMLElement} panel
 * @returns {(key: string) => Promise<{problems: string[], streams: object[]}>} what is wrong, in words; figures of all nodes' streams
 */
export function fleetPanel(panel) {
  const nodes = panel.querySelector("[data-nodes]");
  const streams = panel.querySelector("[data-streams]");
  return async (key) => {
    let figures = null;
    try {
      figures = await getJson("/api/fleet", key);
    } catch (error) {
      return { problems: panel.hidden ? [] : [`The fleet's figures are missing: ${error.message}`], streams: [] };
    }
    panel.hidden = !isFleet(figures);
    nodes.replaceChildren(...list(figures.nodes).map((node) => nodeRow(node, figures.me)));
    streams.replaceChildren(...list(figures.streams).map(streamRow));
    panel.querySelector("[data-no-streams]").hidden = list(figures.streams).length > 0;
    if (panel.hidden) return { problems: [], streams: [] };
    const told = list(figures.streams).filter((stream) => stream?.figures);
    return { problems: list(figures.problems).map(text), streams: told.map((stream) => ({ ...stream.figures, node: text(stream.node) })) };
  };
}
