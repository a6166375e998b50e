/** A box on a picture, and questions about it: what needs neither document nor clock. Boxes are 0..1 of the picture. */

/** @typedef {{x0: number, y0: number, x1: number, y1: number}} Box */

export const MIN_SIDE = 0.04; // the server wants at least half of that
export const STEP = 0.02; // of one press of an arrow key

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @returns {Box} within the picture, corners the right way round, not too small to be searched */
export function fitBox({ x0, y0, x1, y1 }) {
  const side = (a, b) => {
    let [low, high] = [clamp(Math.min(a, b), 0, 1), clamp(Math.max(a, b), 0, 1)];
    if (high - low < MIN_SIDE) {
      low = clamp((low + high - MIN_SIDE) / 2, 0, 1 - MIN_SIDE);
      high = low + MIN_SIDE;
    }
    return [low, high];
  };
  const [left, right] = side(x0, x1);
  const [top, bottom] = side(y0, y1);
  return { x0: left, y0: top, x1: right, y1: bottom };
}

/** The box shifted, without changing its size: it stops at the picture's edge. @returns {Box} */
export function moveBox({ x0, y0, x1, y1 }, dx, dy) {
  const x = clamp(dx, -x0, 1 - x1);
  const y = clamp(dy, -y0, 1 - y1);
  return { x0: x0 + x, y0: y0 + y, x1: x1 + x, y1: y1 + y };
}

/** The box with some of its edges shifted; an edge does not pass the opposite one. `edges`: of "n", "e", "s", "w". */
export function resizeBox(box, edges, dx, dy) {
  return fitBox({
    x0: edges.includes("w") ? Math.min(box.x0 + dx, box.x1 - MIN_SIDE) : box.x0,
    x1: edges.includes("e") ? Math.max(box.x1 + dx, box.x0 + MIN_SIDE) : box.x1,
    y0: edges.includes("n") ? Math.min(box.y0 + dy, box.y1 - MIN_SIDE) : box.y0,
    y1: edges.includes("s") ? Math.max(box.y1 + dy, box.y0 + MIN_SIDE) : box.y1,
  });
}

/** What an arrow key does: moves, or with shift resizes at the lower right corner. @returns {Box|null} null: another key */
export function keyBox(box, key, shift) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[key];
  if (!way) return null;
  const [dx, dy] = way.map((value) => value * STEP);
  return shift ? resizeBox(box, "se", dx, dy) : moveBox(box, dx, dy);
}

/** The box as the server wants it. */
export function wireBox({ x0, y0, x1, y1 }) {
  return [x0, y0, x1, y1].map((value) => clamp(Math.round(value * 10_000) / 10_000, 0, 1));
}

/** For those who hear it: where it is and how large. */
export function boxWords({ x0, y0, x1, y1 }) {
  const percent = (value) => `${Math.round(value * 100)} %`;
  return `${percent(x0)} from the left, ${percent(y0)} from the top, ${percent(x1 - x0)} wide, ${percent(y1 - y0)} high`;
}

/** "just now", "8 seconds ago", "2 minutes ago". */
export function agoWords(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 90) return `${seconds} seconds ago`;
  return `${Math.round(seconds / 60)} minutes ago`;
}

/**
 * Questions of which only the newest counts: it waits a moment for the next change, an older one is broken off, and an
 * answer that comes late is dropped. A server that is busy is asked again, twice.
 */
export class LatestWins {
  #ask;
  #told;
  #waitMs;
  #later;
  #forget;
  #timer = null;
  #running = null;
  #number = 0;

  /**
   * @param {(query: unknown, signal: AbortSignal) => Promise<unknown>} ask
   * @param {(news: {state: "asking"|"answered"|"failed", query: unknown, answer?: unknown, error?: Error}) => void} told
   */
  constructor(ask, told, { waitMs = 180, later = setTimeout, forget = clearTimeout } = {}) {
    this.#ask = ask;
    this.#told = told;
    this.#waitMs = waitMs;
    this.#later = (work, ms) => later(work, ms);
    this.#forget = (timer) => forget(timer);
  }

  /** The question changed, and may change again. */
  change(query) {
    this.cancel();
    this.#timer = this.#later(() => this.now(query), this.#waitMs);
  }

  /** The question stands. */
  async now(query, again = 2) {
    this.cancel();
    const number = ++this.#number;
    const running = (this.#running = new AbortController());
    this.#told({ state: "asking", query });
    try {
      const answer = await this.#ask(query, running.signal);
      if (number === this.#number) this.#told({ state: "answered", query, answer });
    } catch (error) {
      if (number !== this.#number) return;
      const waitMs = [429, 503].includes(error.status) && again > 0 ? (error.retryAfterMs ?? 500) : null;
      if (waitMs === null) this.#told({ state: "failed", query, error });
      else this.#timer = this.#later(() => this.now(query, again - 1), Math.min(waitMs, 3000));
    }
  }

  /** Nothing is wanted any more. */
  cancel() {
    this.#number++;
    this.#forget(this.#timer);
    this.#running?.abort();
    this.#running = null;
  }
}
