/**
 * The hotspots of a recorded video: reads the WebVTT metadata track that `vitrine tag` writes, and answers what belongs on
 * any of its frames by the same drawing rule as live (docs/protocol.md). No document, no clock; `loadTrack` alone fetches.
 *
 *   overlay.track = await loadTrack("show.vtt");      // or <vitrine-overlay for="video" track="show.vtt">
 *
 * A frame is named by its media time in the file, in ticks of 90 kHz. A player whose clock starts elsewhere (native HLS
 * begins at 0 whatever the segments say) is told the difference once: `track-offset`, in milliseconds.
 */

import { parseSample, SampleHistory, ticksBetween } from "./vitrine-overlay.js";

const TICKS_PER_MS = 90;
const COORD = 10_000;
const STATES = ["exact", "similar", "unsure"];
const TIMING = /^(?:(\d+):)?(\d\d):(\d\d)\.(\d{3})\s+-->\s+(?:(\d+):)?(\d\d):(\d\d)\.(\d{3})/;

/** @typedef {{id: string, startMs: number, endMs: number, text: string}} Cue */
/** @typedef {{startMs: number, endMs: number}} Appearance */

/**
 * The cues of a WebVTT file (https://www.w3.org/TR/webvtt1/), without settings and markup. Other blocks are left out.
 *
 * @returns {Cue[]}
 * @throws {Error} it is no WebVTT
 */
export function parseCues(/** @type {string} */ text) {
  const lines = text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n").replaceAll("\r", "\n");
  if (!/^WEBVTT(?:[ \t\n]|$)/.test(lines)) throw new Error("This is no WebVTT file.");
  const cues = [];
  for (const block of lines.split(/\n{2,}/).slice(1)) {
    const rows = block.split("\n");
    const at = rows.findIndex((row) => row.includes("-->"));
    const found = at >= 0 && at <= 1 ? TIMING.exec(rows[at]) : null;
    if (!found) continue;
    const ms = (first) => ((Number(found[first] ?? 0) * 60 + Number(found[first + 1])) * 60 + Number(found[first + 2])) * 1000 + Number(found[first + 3]);
    cues.push({ id: at === 1 ? rows[0] : "", startMs: ms(1), endMs: ms(5), text: rows.slice(at + 1).join("\n") });
  }
  return cues;
}

const json = (text) => {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
};

/** Every sample of a recording, and the products in it. To the element it is what a live stream's history is. */
export class RecordedTrack {
  /** @type {object[]} as the snapshot of a live stream has them */
  cards;
  /** @type {Map<number, Appearance[]>} when each product is in the picture, by its number */
  shown = new Map();
  /** Media time of the first frame and of the end of the last one, ms. */
  startMs;
  endMs;
  #samples = [];
  #near = new SampleHistory();
  #at = -2; // index of the sample that `#near` was filled around

  /**
   * @param {Cue[]} cues of a metadata track; the one called "products" names what is in it
   * @param {(path: string) => string} address makes a picture's address absolute
   * @throws {Error} no such cue: some other file
   */
  constructor(cues, address = (path) => path) {
    const head = cues.find((cue) => cue.id === "products");
    const about = head && json(head.text);
    if (!Array.isArray(about?.products)) throw new Error("This file holds no hotspots; expected a track written by 'vitrine tag'.");
    this.startMs = Number.isInteger(about.pts) ? about.pts / TICKS_PER_MS : head.startMs;
    this.endMs = head.endMs;
    this.cards = about.products.map((product, index) => ({ ...product, pid: index + 1, image: address(product.image ?? "") }));
    const pids = new Map(this.cards.map((card) => [card.id, card.pid]));
    for (const { pid, shown } of this.cards) {
      this.shown.set(pid, (Array.isArray(shown) ? shown : []).map(([startMs, endMs]) => ({ startMs, endMs })));
    }
    const ends = [];
    for (const cue of cues.filter((one) => one !== head)) {
      const { pts, hotspots } = json(cue.text) ?? {};
      if (!Array.isArray(hotspots)) continue;
      const key = Number.isInteger(pts) ? pts : cue.startMs * TICKS_PER_MS;
      this.#samples.push(this.#sample(key, hotspots, pids));
      ends.push(cue.endMs * TICKS_PER_MS);
    }
    this.#close(ends);
  }

  /** What the element is told in place of a live stream's first message. */
  get snapshot() {
    return { t: "snap", v: 1, stream: "", log: "recorded", seq: 0, live: true, latency_ms: 0, epochs: [[0, 0]], products: this.cards };
  }

  /**
   * Prices, stock and words as the shop has them now; what it no longer has is sold out. Which product a hotspot shows stays.
   *
   * @param {Map<string, object>} current cards by product
   * @returns {boolean} whether anything is different now
   */
  update(current) {
    const before = JSON.stringify(this.cards);
    this.cards = this.cards.map((card) => {
      const now = current.get(card.id);
      if (!now) return { ...card, availability: "out_of_stock" };
      return { ...this.#blank, ...now, pid: card.pid, image: card.image, shown: card.shown };
    });
    return JSON.stringify(this.cards) !== before;
  }

  /** What is not said of a card. */
  get #blank() {
    return { sale_price: "", availability: "in_stock", brand: "", description: "", label: "", third_party: false };
  }

  get size() {
    return this.#samples.length;
  }

  newest() {
    return null;
  }

  covers(epoch, key) {
    return this.draw(epoch, key).kind !== "none";
  }

  /** @returns {import("./vitrine-overlay.js").Drawing} what belongs on the frame with this media time, 90 kHz modulo 2^32 */
  draw(epoch, key) {
    const at = this.#lastAtOrBefore(key);
    if (at !== this.#at) {
      this.#near.clear();
      for (const sample of this.#samples.slice(Math.max(0, at - 1), at + 3)) this.#near.add(sample); // two on either side
      this.#at = at;
    }
    return this.#near.draw(0, key);
  }

  #sample(key, hotspots, pids) {
    const spots = hotspots.filter((spot) => Array.isArray(spot?.box)).map(({ id, product, state, box }) =>
      [id, pids.get(product) ?? 0, STATES.indexOf(state), 0, ...box.map((edge) => edge * COORD)]);
    return parseSample([0, key >>> 0, 1, spots]);
  }

  /** Where a cue ends and none begins, the picture is cleared. */
  #close(ends) {
    const samples = this.#samples;
    this.#samples = samples.flatMap((sample, index) => {
      const next = samples[index + 1];
      const open = next && ticksBetween(next.rtp, ends[index]) <= 2 * TICKS_PER_MS; // times are rounded to milliseconds
      return open ? [sample] : [sample, parseSample([0, ends[index] >>> 0, 1, []])];
    });
  }

  #lastAtOrBefore(key) {
    let [low, high] = [0, this.#samples.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ticksBetween(this.#samples[middle].rtp, key) > 0) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }
}

/**
 * Fetches and reads a track.
 *
 * @param {string|URL} address @param {RequestInit} options of the request
 * @throws {Error} it is not there, or no such track
 */
export async function loadTrack(address, options = {}) {
  const url = new URL(address, globalThis.document?.baseURI);
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "This link does not open the video. Ask for a new one." : `The hotspots of this video cannot be read (${answer.status}).`);
  return new RecordedTrack(parseCues(await answer.text()), (path) => (path ? new URL(path, url).href : ""));
}
