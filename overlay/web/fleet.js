/** The fleet on the operator's page: nodes, streams and what is wrong with them. Nothing is shown of a process that is alone. */

import { getJson, h } from "./page.js";

const TONES = { up: "good", live: "good", draining: "warn", unsure: "warn", silent: "bad", orphaned: "bad" };
const EVERY = 2; // rounds of the page between two questions

const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => String(value ?? "");
const seconds = (ms) => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : "–");
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

export function streamRow(stream) {
  return h("tr", {}, h("th", { scope: "row" }, text(stream.id)), h("td", {}, state(stream.state)), h("td", {}, text(stream.node)), h("td", {}, text(stream.epoch)),
    h("td", {}, text(stream.viewers)), h("td", {}, seconds(stream.lease_age_ms)));
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
 * @returns {(key: string) => Promise<string[]>} what is wrong, in words
 */
export function fleetPanel(panel) {
  const nodes = panel.querySelector("[data-nodes]");
  const streams = panel.querySelector("[data-streams]");
  let rounds = 0;
  let problems = [];
  return async (key) => {
    if (rounds++ % EVERY !== 0) return problems;
    let figures = null;
    try {
      figures = await getJson("/api/fleet", key);
    } catch (error) {
      problems = panel.hidden ? [] : [`The fleet's figures are missing: ${error.message}`];
      return problems;
    }
    panel.hidden = !isFleet(figures);
    problems = panel.hidden ? [] : list(figures.problems).map(text);
    nodes.replaceChildren(...list(figures.nodes).map((node) => nodeRow(node, figures.me)));
    streams.replaceChildren(...list(figures.streams).map(streamRow));
    panel.querySelector("[data-no-streams]").hidden = list(figures.streams).length > 0;
    return problems;
  };
}
