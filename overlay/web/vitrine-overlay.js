/**
 * Vitrine overlay: one custom element that puts tappable product hotspots on any <video>, on the very frame displayed.
 *
 *   <div style="position: relative">
 *     <video id="show" autoplay muted playsinline></video>
 *     <vitrine-overlay for="show" src="wss://example.net/ws/demo"></vitrine-overlay>
 *   </div>
 *
 * or wrapped around the video. One self-contained module, in two parts:
 *
 *   1. The core: plain functions and classes without clock, socket or document. Importable anywhere, tested under node.
 *   2. The element: holds the socket, the canvas and the buttons, and no decisions that the core could take.
 *
 * How a hotspot gets onto the exact frame: the compositor shows a new video frame before script hears of it, so an element
 * moved in `requestVideoFrameCallback` is painted one compositor frame late. Therefore the picture itself is drawn onto a
 * canvas in that same callback, pins and labels with it: they cannot come apart. The buttons above it are what one taps,
 * tabs to and hears read out; they are not seen, and follow at their leisure (moving an element costs a browser more than
 * drawing one). A tap is judged by what was painted, not by where a button had got to. Set surface="video" to do without
 * the canvas: buttons are then seen, and one compositor frame late.
 *
 * Events (all bubble and cross shadow roots):
 *   vitrine-tap       {id, hotspot, pid, x, y, epoch, rtp}
 *   vitrine-card      {id, hit, state, card, reason}
 *   vitrine-state     {state, live, latencyMs, reason}    state: one of STATES
 *   vitrine-products  {products}                          each a card with `pinned` and `hidden`
 *   vitrine-visible   {pids}                              products with a hotspot in the picture now
 * Live video that is no WebRTC, such as a CDN's playlist: set the property `mediaClock` to what tells a frame's own timestamp from
 * the player's clock (./playlist.js does). Hotspots are then kept until the picture, which is seconds behind, gets to them.
 * A recorded video needs no server: track="show.vtt" instead of src loads what `vitrine tag` wrote (./track.js, docs/replay.md).
 *
 * Attributes: for, src, token, track, track-offset (ms), density (all | few | pinned | off), labels (on | off), surface (canvas | video).
 * Style from outside: --vitrine-accent, --vitrine-ink, --vitrine-pin, --vitrine-pin-ring; where buttons are seen ::part(pin) ::part(chip) too.
 */

export const VERSION = 1;
export const STATES = Object.freeze(
  ["idle", "connecting", "live", "replay", "away", "ended", "reconnecting", "missing", "refused"]);

const TICKS_PER_MS = 90; // RTP clock of video, RFC 3551
const INTERPOLATE_TICKS = 600 * TICKS_PER_MS;
const EXTRAPOLATE_TICKS = 400 * TICKS_PER_MS;
const KEEP_MS = 8000;
const KEEP_LONG_MS = 90_000; // where the picture is far behind
const JUMP_TICKS = 60_000 * TICKS_PER_MS;
const BEND_LIMIT = 0.25; // of a box's side: what bends a path further is no motion
const CALM_MS = 3000; // so long without a prediction drawn, and they are not needed
const KEEP_SAMPLES = 512;
const KEEP_SPOTS = 40_000; // of all samples together: some 6 MB
const BACK_MS = 60_000; // asked for when joining, for a picture that is far behind
const KEEP_EPOCHS = 4;
const MAX_SPOTS = 64;
const MAX_PRODUCTS = 1000;
const COORD = 10_000;
const MATCH = Object.freeze(["exact", "similar", "unsure"]);

// ---- 1. core ---------------------------------------------------------------------------------------------------------

/**
 * @typedef {{id: number, pid: number, state: "exact"|"similar"|"unsure", pinned: boolean,
 *            x0: number, y0: number, x1: number, y1: number}} Spot  box 0..1 of the displayed picture
 * @typedef {{epoch: number, rtp: number, measured: boolean, spots: Map<number, Spot>}} Sample
 * @typedef {"exact"|"interpolated"|"predicted"|"extrapolated"|"none"} DrawKind
 * @typedef {{kind: DrawKind, spots: Spot[], ageTicks: number|null}} Drawing
 *   ageTicks: media time on screen minus newest measured sample, at least 0; null without one
 * @typedef {{pid: number, id: string, title: string, price: string, link: string, image: string, seller: string,
 *            availability: string, sale_price: string, brand: string, description: string, label: string,
 *            third_party: boolean}} Card
 */

/** Signed distance a - b of two unsigned 32-bit RTP timestamps, right across a wrap. */
export function ticksBetween(a, b) {
  return (a - b) | 0;
}

/** The frame's timestamp on the publisher's clock: `(R - offset) mod 2^32`. */
export function frameKey(rtp, offset) {
  return (rtp - offset) >>> 0;
}

const isU32 = (value) => Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
const isPid = (value) => Number.isInteger(value) && value >= 0 && value <= 0xffff;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @returns {Spot|null} null when the wire value is not a spot */
export function parseSpot(raw) {
  if (!Array.isArray(raw) || raw.length < 8 || !raw.every(Number.isFinite)) return null;
  const [id, pid, state, flags, ...corners] = raw;
  if (!isU32(id) || !isPid(pid)) return null;
  const [x0, y0, x1, y1] = corners.map((value) => clamp(value / COORD, 0, 1));
  if (x1 <= x0 || y1 <= y0) return null;
  return { id, pid, state: MATCH[state] ?? "unsure", pinned: (flags & 1) === 1, x0, y0, x1, y1 };
}

/** @returns {Sample|null} null when the wire value is not a sample; spots that are none are left out */
export function parseSample(raw) {
  if (!Array.isArray(raw) || raw.length < 4) return null;
  const [epoch, rtp, measured, list] = raw;
  if (!isU32(epoch) || !isU32(rtp) || !Array.isArray(list)) return null;
  const spots = new Map();
  for (const item of list.slice(0, MAX_SPOTS)) {
    const spot = parseSpot(item);
    if (spot) spots.set(spot.id, spot);
  }
  return { epoch, rtp, measured: measured === 1, spots };
}

/** What a viewer offers as `Sec-WebSocket-Protocol`, dearest first. */
export const SUBPROTOCOLS = Object.freeze(["vitrine.bin.1", "vitrine.json.1"]);

const BINARY_POSITIONS = 1;

/**
 * A message of subprotocol vitrine.bin.1 (docs/protocol.md, byte by byte), as its JSON would have been parsed.
 *
 * @param {ArrayBuffer} buffer
 * @returns {{t: "pos", s: Array}|null} null when it is not understood as a whole
 */
export function decodeBinary(buffer) {
  const view = new DataView(buffer);
  let at = 1;
  const varint = () => {
    for (let value = 0, scale = 1, read = 0; read < 5; read++, scale *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffffffff || (byte === 0 && read > 0)) throw new RangeError("number out of range");
        return value;
      }
    }
    throw new RangeError("number too long");
  };
  const u16 = () => view.getUint16((at += 2) - 2);
  const samples = [];
  try {
    if (view.getUint8(0) !== BINARY_POSITIONS) return null;
    while (at < view.byteLength) {
      const epoch = varint();
      const rtp = view.getUint32((at += 4) - 4);
      const head = view.getUint8(at++);
      const spots = [];
      for (let left = head & 0x7f; left > 0; left--) {
        const id = varint();
        const pid = u16();
        const traits = view.getUint8(at++);
        spots.push([id, pid, traits & 3, traits >> 2, u16(), u16(), u16(), u16()]);
      }
      samples.push([epoch, rtp, head >> 7, spots]);
      if (samples.length > 16) return null;
    }
  } catch {
    return null; // cut short, or a number out of its range
  }
  return { t: "pos", s: samples };
}

/** The address made absolute when it is http or https, else "". Keeps `javascript:` and friends out of the page. */
export function safeUrl(text, base = "http://localhost/") {
  if (typeof text !== "string" || text === "") return "";
  try {
    const url = new URL(text, base);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : "";
  } catch {
    return "";
  }
}

/** @returns {Card|null} a card with every field present and of bounded length; null without pid or title */
export function parseCard(raw) {
  if (!isObject(raw) || !isPid(raw.pid) || raw.pid === 0) return null;
  const text = (key, limit) => (typeof raw[key] === "string" ? raw[key].slice(0, limit) : "");
  const card = {
    pid: raw.pid, id: text("id", 64), title: text("title", 150), price: text("price", 40), link: text("link", 2048),
    image: text("image", 2048), seller: text("seller", 100), availability: text("availability", 20) || "in_stock",
    sale_price: text("sale_price", 40), brand: text("brand", 70), description: text("description", 5000),
    label: text("label", 200), third_party: raw.third_party === true,
  };
  return card.title === "" && card.id === "" ? null : card;
}

/** The word a hotspot bears for its disclosure: paid for (any label other than who sells it), or sold by somebody else. */
export function disclosureWord(/** @type {Card|undefined} */ card) {
  if (!card) return "";
  const paid = card.label !== "" && !(card.third_party && card.label.startsWith("Sold by"));
  return paid ? "Paid" : card.third_party ? "Partner" : "";
}

/**
 * How far the straight line from a to b misses the path at f (0..1): the cubic whose slopes at a and b are those of the
 * parabolas through three samples (Bessel's tangents; de Boor, A Practical Guide to Splines, ch. IV). With one neighbour
 * the path is its parabola, without any it is straight.
 *
 * @param {number|undefined} before value of the sample before a, which is `toBefore` intervals a..b away
 * @param {number|undefined} after value of the sample after b
 */
export function bend(a, b, f, before, toBefore, after, toAfter) {
  const step = b - a;
  const atA = before === undefined ? null : ((a - before) / toBefore - step) / (1 + toBefore);
  const atB = after === undefined ? null : ((after - b) / toAfter - step) / (1 + toAfter);
  return f * (1 - f) * ((1 - f) * (atA ?? -(atB ?? 0)) - f * (atB ?? -(atA ?? 0)));
}

/**
 * Between a (0) and b (1); f above 1 extrapolates. Ids in both only; clamped to the picture; gone when outside it.
 *
 * @param {{spots: Map<number, Spot>, gap: number}|null} before sample before a, `gap` intervals a..b away: bends the path
 */
function blend(a, b, f, before = null, after = null) {
  const spots = [];
  for (const [id, to] of b.spots) {
    const from = a.spots.get(id);
    if (!from) continue;
    const [last, next] = [before?.spots.get(id), after?.spots.get(id)];
    const at = (key) => {
      const most = BEND_LIMIT * (key.startsWith("x") ? to.x1 - to.x0 : to.y1 - to.y0);
      const off = bend(from[key], to[key], f, last?.[key], before?.gap, next?.[key], after?.gap);
      return clamp(from[key] + (to[key] - from[key]) * f + clamp(off, -most, most), 0, 1);
    };
    const spot = { ...(f < 0.5 ? from : to), x0: at("x0"), y0: at("y0"), x1: at("x1"), y1: at("y1") };
    if (spot.x1 > spot.x0 && spot.y1 > spot.y0) spots.push(spot);
  }
  return spots;
}

/** The last seconds of samples, and the drawing rule of docs/protocol.md. Bounded in time, samples, hotspots and epochs. */
export class SampleHistory {
  /** @type {Map<number, Sample[]>} oldest first */
  #epochs = new Map();
  #spots = 0;
  #keepTicks;
  #keepSamples;

  /** @param {number} keepMs media time kept of each epoch @param {number} keepSamples of each epoch, at most */
  constructor(keepMs = KEEP_MS, keepSamples = KEEP_SAMPLES) {
    this.#keepTicks = keepMs * TICKS_PER_MS;
    this.#keepSamples = keepSamples;
  }

  /** Samples held, of all epochs. */
  get size() {
    let sum = 0;
    for (const list of this.#epochs.values()) sum += list.length;
    return sum;
  }

  /** The same samples and what is still to come, kept for longer. */
  longer(/** @type {number} */ keepMs) {
    const made = new SampleHistory(keepMs, Math.ceil((keepMs * 60) / 1000)); // thirty a second, each predicted and measured
    for (const list of this.#epochs.values()) for (const sample of list) made.add(sample);
    return made;
  }

  clear() {
    this.#epochs.clear();
    this.#spots = 0;
  }

  /** A prediction never replaces a measurement of the same frame. */
  add(/** @type {Sample} */ sample) {
    let list = this.#epochs.get(sample.epoch);
    if (!list) {
      list = [];
      this.#epochs.set(sample.epoch, list);
      if (this.#epochs.size > KEEP_EPOCHS) this.#drop(Math.min(...this.#epochs.keys()), Infinity);
    }
    const newest = list.at(-1);
    const ahead = newest ? ticksBetween(sample.rtp, newest.rtp) : 0;
    if (Math.abs(ahead) > Math.max(JUMP_TICKS, this.#keepTicks)) { // not a late message but another clock: start over
      this.#drop(sample.epoch, list.length);
      this.#epochs.set(sample.epoch, list);
    } else if (ahead < -this.#keepTicks) return;
    const index = this.#lastAtOrBefore(list, sample.rtp);
    if (index >= 0 && list[index].rtp === sample.rtp) {
      if (!sample.measured && list[index].measured) return;
      this.#spots -= list[index].spots.size;
      list[index] = sample;
    } else {
      list.splice(index + 1, 0, sample);
    }
    this.#spots += sample.spots.size;
    const end = list.at(-1).rtp;
    let old = Math.max(0, list.length - this.#keepSamples);
    while (ticksBetween(end, list[old].rtp) > this.#keepTicks) old++;
    this.#drop(sample.epoch, old);
    while (this.#spots > KEEP_SPOTS) this.#drop(Math.min(...this.#epochs.keys()), 16);
  }

  /** The oldest of an epoch; the epoch, when nothing is left of it. */
  #drop(epoch, count) {
    const list = this.#epochs.get(epoch) ?? [];
    for (const gone of list.splice(0, count)) this.#spots -= gone.spots.size;
    if (list.length === 0 && count > 0) this.#epochs.delete(epoch);
  }

  /** Whether the drawing rule can draw anything for this frame. */
  covers(epoch, key) {
    const list = this.#epochs.get(epoch);
    if (!list?.length) return false;
    return ticksBetween(key, list[0].rtp) >= 0 && ticksBetween(key, list.at(-1).rtp) <= EXTRAPOLATE_TICKS;
  }

  /** Whether a frame lies between an epoch's first and last sample. */
  within(epoch, key) {
    const list = this.#epochs.get(epoch);
    return Boolean(list?.length) && ticksBetween(key, list[0].rtp) >= 0 && ticksBetween(key, list.at(-1).rtp) <= 0;
  }

  /** Newest sample of an epoch, for players that cannot name the frame they show. */
  newest(epoch) {
    return this.#epochs.get(epoch)?.at(-1) ?? null;
  }

  /** @returns {Drawing} what belongs on frame `key` of `epoch` */
  draw(epoch, key) {
    const list = this.#epochs.get(epoch) ?? [];
    const ageTicks = this.#age(list, key);
    const here = this.#lastAtOrBefore(list, key);
    if (here < 0) return { kind: "none", spots: [], ageTicks };
    const last = list[here];
    if (last.rtp === key && last.measured) return { kind: "exact", spots: [...last.spots.values()], ageTicks };
    let from = here;
    while (from >= 0 && !list[from].measured) from--;
    let to = here + 1;
    while (to < list.length && !list[to].measured) to++;
    if (from >= 0 && to < list.length && ticksBetween(list[to].rtp, list[from].rtp) <= INTERPOLATE_TICKS) {
      return { kind: "interpolated", spots: this.#along(list, from, to, key), ageTicks };
    }
    if (last.rtp === key) return { kind: "predicted", spots: [...last.spots.values()], ageTicks };
    const next = list[here + 1];
    if (next && ticksBetween(next.rtp, last.rtp) <= INTERPOLATE_TICKS) {
      return { kind: "predicted", spots: this.#between(last, next, key), ageTicks };
    }
    if (ticksBetween(key, last.rtp) > EXTRAPOLATE_TICKS) return { kind: "none", spots: [], ageTicks };
    return { kind: "extrapolated", spots: this.#beyond(list, here, key), ageTicks };
  }

  #lastAtOrBefore(list, key) {
    let [low, high] = [0, list.length]; // the first one after it, by halves: a picture far behind has hundreds of them
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ticksBetween(list[middle].rtp, key) > 0) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }

  /** Between two measured samples, on the path that the measured ones before and after show. */
  #along(list, from, to, key) {
    const [a, b] = [list[from], list[to]];
    const whole = ticksBetween(b.rtp, a.rtp);
    const neighbour = (index, step) => {
      let at = index + step;
      while (list[at] && !list[at].measured) at += step;
      const gap = list[at] ? Math.abs(ticksBetween(list[at].rtp, list[index].rtp)) : Infinity;
      return gap <= INTERPOLATE_TICKS ? { spots: list[at].spots, gap: gap / whole } : null;
    };
    return blend(a, b, ticksBetween(key, a.rtp) / whole, neighbour(from, -1), neighbour(to, 1));
  }

  #between(a, b, key) {
    return blend(a, b, ticksBetween(key, a.rtp) / ticksBetween(b.rtp, a.rtp));
  }

  #beyond(list, here, key) {
    const last = list[here];
    const before = list[here - 1];
    const spots = [...last.spots.values()];
    if (!before || ticksBetween(last.rtp, before.rtp) > INTERPOLATE_TICKS) return spots;
    const moved = new Map(this.#between(before, last, key).map((spot) => [spot.id, spot]));
    return spots.flatMap((spot) => moved.get(spot.id) ?? (before.spots.has(spot.id) ? [] : [spot]));
  }

  #age(list, key) {
    for (let index = list.length - 1; index >= 0; index--) {
      if (list[index].measured) return Math.max(0, ticksBetween(key, list[index].rtp));
    }
    return null;
  }
}

/**
 * Everything the server has told: connection log, products, pins, epochs, samples. Messages in, changes out.
 *
 * Nothing a server sends makes it throw: what is not understood is counted in `ignored`.
 */
export class OverlayModel {
  stream = "";
  log = "";
  seq = -1;
  live = false;
  latencyMs = 0;
  reason = "";
  ignored = 0;
  /** @type {[number, number][]} [epoch, offset], newest last */
  epochs = [];
  /** @type {Map<number, Card>} */
  products = new Map();
  /** @type {Set<number>} */
  pinned = new Set();
  /** @type {Set<number>} */
  hidden = new Set();
  history = new SampleHistory();

  /** The epoch that frames were last found in, and the player's run then: see `locateMedia`. @type {{run: number, epoch: number}|null} */
  at = null;
  /** How much of the past is asked for when joining, milliseconds: a picture that is behind needs it. */
  backMs = 0;

  /** What to say in `hello` to carry on where the last connection stopped. */
  get hello() {
    const resume = this.log !== "" && this.seq >= 0 ? { resume: { log: this.log, seq: this.seq } } : {};
    const back = this.backMs > 0 ? { back_ms: this.backMs } : {};
    return { t: "hello", v: VERSION, ...resume, ...back };
  }

  /**
   * @returns {{changed: Set<string>, gap: boolean, card: object|null, error: object|null}}
   *   changed: of snapshot, positions, products, live, latency. gap: events were lost, reconnect with resume.
   */
  apply(message) {
    const result = { changed: new Set(), gap: false, card: null, error: null };
    if (!isObject(message)) return this.#ignore(result);
    switch (message.t) {
      case "snap": return this.#snapshot(message, result);
      case "pos": return this.#positions(message, result);
      case "evt": return this.#event(message, result);
      case "card": return this.#card(message, result);
      case "err":
        result.error = { code: String(message.code ?? "").slice(0, 64), message: String(message.message ?? "").slice(0, 500) };
        return result;
      default: return this.#ignore(result);
    }
  }

  /**
   * The epoch and key of a frame on screen. Just after a publisher reconnected the screen still shows the previous
   * connection's frames: the newest epoch wins unless only an older one has samples around this frame.
   *
   * @returns {{epoch: number, key: number}|null}
   */
  locate(rtp) {
    for (let index = this.epochs.length - 1; index >= 0; index--) {
      const [epoch, offset] = this.epochs[index];
      const key = frameKey(rtp, offset);
      if (this.history.covers(epoch, key)) return { epoch, key };
    }
    const newest = this.epochs.at(-1);
    return newest ? { epoch: newest[0], key: frameKey(rtp, newest[1]) } : null;
  }

  /**
   * The same where the player names its frames by the media's own timestamps, which are the keys themselves. An encoder that
   * was started anew may use timestamps that were there before: epochs follow each other as the player's runs do.
   *
   * @param {number} key timestamp of the frame, 90 kHz modulo 2^32
   * @param {number} run grows with every new beginning of the timestamps
   * @returns {{epoch: number, key: number}|null}
   */
  locateMedia(key, run) {
    const known = this.epochs.map(([epoch]) => epoch);
    if (known.length === 0) return null;
    const { at } = this;
    const covering = known.filter((epoch) => this.history.covers(epoch, key));
    let epoch = covering.at(-1); // one who has just come takes the newest that knows the frame
    if (at && run === at.run) {
      const later = covering.filter((one) => one >= at.epoch);
      epoch = later.find((one) => this.history.within(one, key)) ?? later[0] ?? epoch;
    } else if (at && run > at.run) {
      epoch = covering.find((one) => one > at.epoch);
    } else if (at) {
      epoch = covering.findLast((one) => one < at.epoch) ?? epoch;
    }
    if (epoch !== undefined) this.at = { run, epoch };
    return { epoch: epoch ?? known.at(-1), key };
  }

  /** Drops what may not be shown (hidden, unknown, over the density limit), most important first. */
  select(/** @type {Spot[]} */ spots, density, live = this.live) {
    if (!live || density === "off") return [];
    const shown = spots
      .filter((spot) => spot.pid !== 0 && spot.state !== "unsure" && !this.hidden.has(spot.pid))
      .map((spot) => ({ ...spot, pinned: spot.pinned || this.pinned.has(spot.pid) }))
      .filter((spot) => density !== "pinned" || spot.pinned);
    const area = (spot) => (spot.x1 - spot.x0) * (spot.y1 - spot.y0);
    shown.sort((a, b) => b.pinned - a.pinned || (a.state > b.state) - (a.state < b.state) || area(b) - area(a) || a.id - b.id);
    return shown.slice(0, density === "few" ? 3 : 24);
  }

  #ignore(result) {
    this.ignored++;
    return result;
  }

  #snapshot(message, result) {
    if (typeof message.log !== "string" || !Number.isInteger(message.seq)) return this.#ignore(result);
    const resumed = message.recovered === true && message.log === this.log && this.seq >= 0;
    if (message.log !== this.log) {
      this.history.clear();
      this.at = null;
    }
    this.log = message.log;
    if (!resumed) this.seq = message.seq; // otherwise the missed events follow our own seq
    this.stream = typeof message.stream === "string" ? message.stream : "";
    this.live = message.live === true;
    this.reason = "";
    this.#setLatency(message.latency_ms);
    this.epochs = [];
    for (const pair of Array.isArray(message.epochs) ? message.epochs.slice(-KEEP_EPOCHS) : []) {
      if (Array.isArray(pair)) this.#addEpoch(pair[0], pair[1]);
    }
    this.#setProducts(message.products ?? []);
    this.pinned = new Set((Array.isArray(message.pinned) ? message.pinned : []).filter(isPid));
    this.hidden = new Set((Array.isArray(message.hidden) ? message.hidden : []).filter(isPid));
    if (isObject(message.pos)) this.#positions(message.pos, result);
    for (const name of ["snapshot", "products", "live", "latency"]) result.changed.add(name);
    return result;
  }

  #positions(message, result) {
    if (!Array.isArray(message.s)) return this.#ignore(result);
    for (const raw of message.s.slice(0, 16)) {
      const sample = parseSample(raw);
      if (sample) this.history.add(sample);
      else this.ignored++;
    }
    result.changed.add("positions");
    return result;
  }

  #event(message, result) {
    if (!Number.isInteger(message.seq) || !isObject(message.ev)) return this.#ignore(result);
    if (message.seq <= this.seq) return result; // seen before
    if (message.seq !== this.seq + 1) {
      result.gap = true;
      return result;
    }
    this.seq = message.seq;
    const event = message.ev;
    switch (event.k) {
      case "products": this.#setProducts(event.products); break;
      case "pin": this.#toggle(this.pinned, event); break;
      case "hide": this.#toggle(this.hidden, event); break;
      case "availability": this.#availability(event); break;
      case "live":
        if (!this.#addEpoch(event.epoch, event.offset)) return this.#ignore(result);
        this.live = true;
        this.reason = "";
        this.#setLatency(event.latency_ms);
        result.changed.add("live").add("latency");
        return result;
      case "latency":
        this.#setLatency(event.latency_ms);
        result.changed.add("latency");
        return result;
      case "ended":
        this.live = false;
        this.reason = typeof event.reason === "string" ? event.reason.slice(0, 200) : "";
        result.changed.add("live");
        return result;
      default: return this.#ignore(result);
    }
    result.changed.add("products");
    return result;
  }

  #card(message, result) {
    if (typeof message.id !== "string") return this.#ignore(result);
    result.card = {
      id: message.id, hit: message.hit === true, state: MATCH.includes(message.state) ? message.state : "unsure",
      card: parseCard(message.card), reason: typeof message.reason === "string" ? message.reason.slice(0, 200) : "",
    };
    return result;
  }

  #setProducts(list) {
    if (!Array.isArray(list)) {
      this.ignored++;
      return;
    }
    const cards = list.slice(0, MAX_PRODUCTS).map(parseCard);
    this.ignored += cards.filter((card) => card === null).length;
    this.products = new Map(cards.filter((card) => card !== null).map((card) => [card.pid, card]));
  }

  #toggle(set, event) {
    if (!isPid(event.pid)) this.ignored++;
    else if (event.on === true) set.add(event.pid);
    else set.delete(event.pid);
  }

  #availability(event) {
    const card = this.products.get(event.pid);
    if (!card || typeof event.availability !== "string") return;
    const price = typeof event.price === "string" && event.price !== "" ? event.price.slice(0, 40) : card.price;
    this.products.set(card.pid, { ...card, availability: event.availability.slice(0, 20), price });
  }

  #addEpoch(epoch, offset) {
    if (!isU32(epoch) || !isU32(offset)) return false;
    this.epochs = [...this.epochs.filter(([known]) => known !== epoch), [epoch, offset]]
      .sort((a, b) => a[0] - b[0]).slice(-KEEP_EPOCHS);
    return true;
  }

  #setLatency(value) {
    if (Number.isFinite(value)) this.latencyMs = clamp(value, 0, 4000);
  }
}

/** Full jitter between 0.5 s and a cap that doubles up to 8 s (attempt 0 is the first retry). */
export function backoffMs(attempt, random) {
  return 500 + random * (Math.min(8000, 1000 * 2 ** clamp(attempt, 0, 16)) - 500);
}

/**
 * What to do when the overlay's connection closed, by the ranges of close codes of docs/protocol.md.
 *
 * @param {number} code close code
 * @param {number} attempt retries since the last snapshot
 * @param {number} random 0..1
 * @returns {{state: "reconnecting"|"missing"|"refused", delayMs: number|null, reason: string}} null: do not retry
 */
export function closePlan(code, attempt, random) {
  if (code === 4400) return { state: "refused", delayMs: null, reason: "The server does not understand this page. Reload it to get the current one." };
  if (code === 4401) return { state: "refused", delayMs: null, reason: "This link does not open the show. Ask the host for a new one." };
  if ((code > 4401 && code < 4404) || code >= 4500) return { state: "refused", delayMs: null, reason: "The show cannot be opened from here." };
  if (code >= 4404 && code < 4408) return { state: "missing", delayMs: 5000 + random * 10_000, reason: "There is no such show yet." };
  if (code >= 4410) return { state: "reconnecting", delayMs: 5000 + random * 1000, reason: "Too many messages; waiting a moment." };
  if (code === 1001) return { state: "reconnecting", delayMs: 200 + random * 2800, reason: "The server is restarting." };
  return { state: "reconnecting", delayMs: backoffMs(attempt, random), reason: "The connection was lost." };
}

/** q-quantile of an unsorted list by nearest rank; 0 for none. */
export function quantile(values, q) {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[clamp(Math.ceil(q * sorted.length) - 1, 0, sorted.length - 1)];
}

/** Counts painted frames by how their boxes came about; `take` empties it into a `report` message. */
export class PaintStats {
  total = { frames: 0, exact: 0, interpolated: 0, predicted: 0, extrapolated: 0, none: 0 };
  #frames = 0;
  #withBox = 0;
  #ages = [];

  add(/** @type {DrawKind} */ kind, /** @type {number|null} */ ageTicks) {
    this.total.frames++;
    this.total[kind]++;
    this.#frames++;
    if (kind === "exact" || kind === "interpolated") this.#withBox++;
    if (ageTicks !== null && this.#ages.length < 1000) this.#ages.push(ageTicks / TICKS_PER_MS);
  }

  take(elapsedMs) {
    const age = (q) => Math.round(clamp(quantile(this.#ages, q), 0, 600_000) * 10) / 10;
    const fps = elapsedMs > 0 ? clamp(Math.round((this.#frames * 10_000) / elapsedMs) / 10, 0, 1000) : 0;
    const report = { t: "report", frames: this.#frames, with_box: this.#withBox, age_ms: [age(0.5), age(0.95)], fps };
    this.#frames = 0;
    this.#withBox = 0;
    this.#ages = [];
    return report;
  }
}

/**
 * Whether this viewer draws predictions at all: not while its video is held back long enough for detections to be there
 * first. Says so after a while without one, and takes it back with the first frame that misses its detection.
 */
export class PredictionNeed {
  #wanted = true;
  #sinceMs = Infinity;

  /** A new connection: the server sends everything until told otherwise. */
  reset() {
    this.#wanted = true;
    this.#sinceMs = Infinity;
  }

  /** @returns {{t: "want", predicted: boolean}|null} what the server is to be told */
  update(nowMs, /** @type {DrawKind} */ kind) {
    const missed = kind !== "exact" && kind !== "interpolated";
    if (missed) this.#sinceMs = Infinity;
    else if (this.#sinceMs === Infinity) this.#sinceMs = nowMs;
    const wanted = missed || (this.#wanted && nowMs - this.#sinceMs < CALM_MS);
    if (wanted === this.#wanted) return null;
    this.#wanted = wanted;
    return { t: "want", predicted: wanted };
  }
}

/** Names new products for a polite live region: at most every 5 s, each again only after a minute out of the picture. */
export class Announcer {
  #lastSaidMs = -Infinity;
  #lastInPicture = new Map();
  #waiting = new Map();

  /** @returns {string} "" when there is nothing to say now */
  update(nowMs, /** @type {Map<number, string>} */ titles) {
    for (const [pid, title] of titles) {
      if (nowMs - (this.#lastInPicture.get(pid) ?? -Infinity) > 60_000) this.#waiting.set(pid, title);
      this.#lastInPicture.set(pid, nowMs);
    }
    if (this.#waiting.size === 0 || nowMs - this.#lastSaidMs < 5000) return "";
    this.#lastSaidMs = nowMs;
    const names = [...this.#waiting.values()];
    this.#waiting.clear();
    const more = names.length > 4 ? ` and ${names.length - 4} more` : "";
    return `In the picture: ${names.slice(0, 4).join(", ")}${more}`;
  }
}

/** GA4 `view_promotion`: a product counts once it was at least half visible for one second on end. */
export class Impressions {
  #since = new Map();
  #counted = new Set();

  /** @returns {number[]} product numbers that count from now on */
  update(nowMs, /** @type {Iterable<number>} */ halfVisiblePids) {
    const visible = new Set(halfVisiblePids);
    for (const pid of this.#since.keys()) if (!visible.has(pid)) this.#since.delete(pid);
    const fresh = [];
    for (const pid of visible) {
      if (!this.#since.has(pid)) this.#since.set(pid, nowMs);
      if (nowMs - this.#since.get(pid) >= 1000 && !this.#counted.has(pid)) {
        this.#counted.add(pid);
        fresh.push(pid);
      }
    }
    return fresh.slice(0, 32);
  }
}

/**
 * Where the visible picture lies in the video element's box, for each `object-fit`.
 *
 * @returns {{x: number, y: number, width: number, height: number}} CSS pixels; may exceed the box with "cover"
 */
export function pictureRect(fit, boxWidth, boxHeight, videoWidth, videoHeight) {
  if (!(videoWidth > 0 && videoHeight > 0) || fit === "fill") return { x: 0, y: 0, width: boxWidth, height: boxHeight };
  const byWidth = boxWidth / videoWidth;
  const byHeight = boxHeight / videoHeight;
  const contain = Math.min(byWidth, byHeight);
  const scale = { cover: Math.max(byWidth, byHeight), none: 1, "scale-down": Math.min(1, contain) }[fit] ?? contain;
  const width = videoWidth * scale;
  const height = videoHeight * scale;
  return { x: (boxWidth - width) / 2, y: (boxHeight - height) / 2, width, height };
}

/**
 * Size of the canvas: the device pixels it covers, so that labels are sharp and nobody scales it, up to 2560 x 1440 in all.
 * Without a graphics processor every pixel costs, and at most 1280 x 720 of them are drawn; the page's compositor scales
 * those up, and takes twice as long for it as the canvas would.
 */
export function canvasSize(rect, pixelRatio, accelerated) {
  const most = accelerated ? 2560 * 1440 : 1280 * 720;
  const ratio = Math.min(pixelRatio, 2);
  const shrink = Math.min(1, Math.sqrt(most / (ratio * rect.width * ratio * rect.height)));
  const pixels = (side) => Math.max(2, Math.round(side * ratio * shrink));
  return { width: pixels(rect.width), height: pixels(rect.height) };
}

/** What a tap has to hit, CSS pixels around the middle of a spot: its box, but no less than a finger (WCAG 2.5.5). */
export function hitArea(/** @type {Spot} */ spot, width, height) {
  const half = (share, whole) => Math.max(22, (share * whole) / 2);
  return {
    x: ((spot.x0 + spot.x1) / 2) * width, y: ((spot.y0 + spot.y1) / 2) * height,
    halfWidth: half(spot.x1 - spot.x0, width), halfHeight: half(spot.y1 - spot.y0, height),
  };
}

/**
 * The hotspot a point of the picture belongs to: of those that contain it, the smallest box (it lies in front).
 *
 * @param {number} x CSS pixels from the picture's left edge
 * @returns {Spot|null}
 */
export function hotspotAt(/** @type {Spot[]} */ spots, x, y, width, height) {
  const size = (spot) => (spot.x1 - spot.x0) * (spot.y1 - spot.y0);
  let best = null;
  for (const spot of spots) {
    const area = hitArea(spot, width, height);
    if (Math.abs(x - area.x) > area.halfWidth || Math.abs(y - area.y) > area.halfHeight) continue;
    if (!best || size(spot) < size(best)) best = spot;
  }
  return best;
}

/**
 * Sets a label's words in lines: one if they fit, else a new line wherever the next word does not. What is longer than a
 * line by itself is shortened with an ellipsis.
 *
 * @param {[string, string][]} parts [kind of word, text]
 * @param {(kind: string, text: string) => number} measure width in CSS pixels
 * @param {{maxWidth: number, gap: number, wrap: boolean}} limits without `wrap` the title gives way instead
 * @returns {{width: number, lines: {kind: string, text: string, x: number, width: number}[][]}}
 */
export function labelLines(parts, measure, { maxWidth, gap, wrap }) {
  const shorten = (kind, text, room) => {
    if (measure(kind, text) <= room) return text;
    let end = text.length;
    while (end > 1 && measure(kind, `${text.slice(0, end).trimEnd()}…`) > room) end--;
    return `${text.slice(0, end).trimEnd()}…`;
  };
  const others = parts.filter(([kind]) => kind !== "title").reduce((sum, [kind, text]) => sum + gap + measure(kind, text), 0);
  const lines = [[]];
  let x = 0;
  for (const [kind, text] of parts) {
    const left = maxWidth - x; // a title shares its line with a short word before it
    const shared = wrap && kind === "title" && left >= (2 * maxWidth) / 3 ? left : maxWidth;
    const word = shorten(kind, text, wrap || kind !== "title" ? shared : Math.max(24, maxWidth - others));
    const width = measure(kind, word);
    if (wrap && x > 0 && x + width > maxWidth) {
      lines.push([]);
      x = 0;
    }
    lines.at(-1).push({ kind, text: word, x, width });
    x += width + gap;
  }
  return { width: Math.max(0, ...lines.map((line) => (line.length ? line.at(-1).x + line.at(-1).width : 0))), lines };
}

const LABEL_GAP = 16; // between a pin's middle and its label

/** Where a label lies on one side of the pin at (x, y), CSS pixels. Null for a side that is none: it is hidden. */
export function labelBox(side, x, y, width, height) {
  const corner = {
    below: [x - width / 2, y + LABEL_GAP], above: [x - width / 2, y - LABEL_GAP - height],
    right: [x + LABEL_GAP, y - height / 2], left: [x - LABEL_GAP - width, y - height / 2],
  }[side];
  return corner ? { x0: corner[0], y0: corner[1], x1: corner[0] + width, y1: corner[1] + height } : null;
}

/**
 * Chooses where labels go so that they do not cover each other or another pin: below, above, right or left of the pin,
 * else hidden. The side of last time is tried first, so labels do not hop.
 *
 * @param {{id: number, x: number, y: number, width: number, height: number, side: string}[]} items most important first;
 *   x, y: pin in CSS pixels; width, height: of the label
 * @returns {Map<number, string>} side by id: "below" | "above" | "right" | "left" | "none"
 */
export function placeLabels(items, stageWidth, stageHeight) {
  const taken = items.map((item) => ({ id: item.id, x0: item.x - 12, y0: item.y - 12, x1: item.x + 12, y1: item.y + 12 }));
  const sides = new Map();
  for (const item of items) {
    const side = [item.side, "below", "above", "right", "left"].find((name) => {
      const box = labelBox(name, item.x, item.y, item.width, item.height);
      if (!box || box.x0 < 2 || box.y0 < 2 || box.x1 > stageWidth - 2 || box.y1 > stageHeight - 2) return false;
      if (taken.some((o) => o.id !== item.id && o.x0 < box.x1 && o.x1 > box.x0 && o.y0 < box.y1 && o.y1 > box.y0)) return false;
      taken.push({ ...box, id: -1 });
      return true;
    });
    sides.set(item.id, side ?? "none");
  }
  return sides;
}

/**
 * Whether a label lies on another label or on another pin, or leaves the picture: products have moved.
 *
 * @param {{id: number, x: number, y: number, width: number, height: number, side: string}[]} items as for `placeLabels`;
 *   side: where the label is now
 */
export function labelsAstray(items, stageWidth, stageHeight) {
  const boxes = items.map((item) => labelBox(item.side, item.x, item.y, item.width, item.height));
  const over = (a, b) => a.x0 + 2 < b.x1 && a.x1 > b.x0 + 2 && a.y0 + 2 < b.y1 && a.y1 > b.y0 + 2;
  const outside = (box) => box.x0 < 0 || box.y0 < 0 || box.x1 > stageWidth || box.y1 > stageHeight;
  return boxes.some((box, at) => box && (outside(box) || items.some((item, other) => other !== at && (
    over(box, { x0: item.x - 12, y0: item.y - 12, x1: item.x + 12, y1: item.y + 12 })
    || (other > at && boxes[other] && over(box, boxes[other]))))));
}

// ---- 2. element ------------------------------------------------------------------------------------------------------

const NEAREST_FROM = 0.75;
const LINGER_MS = 1000; // how long the canvas stays after the last hotspot went
const HOVER_MS = 1500;
const PART_MS = 100; // how long a label may lie on another, or reach out of the picture

const STYLE = `
:host { display: block; position: absolute; inset: 0; pointer-events: none;
  --ink: var(--vitrine-ink, #15171b); --accent: var(--vitrine-accent, #f2c879); --pin: var(--vitrine-pin, #fff);
  --ring: var(--vitrine-pin-ring, rgb(21 23 27 / .62));
  font: 500 13px/1.25 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
:host([hidden]) { display: none; }
:host(.wraps) { position: relative; inset: auto; pointer-events: auto; }
::slotted(video) { display: block; width: 100%; }
.stage { position: absolute; left: 0; top: 0; width: 0; height: 0; contain: strict; pointer-events: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
canvas.off { display: none; }
.spot { all: unset; position: absolute; left: -22px; top: -22px; width: 44px; height: 44px; cursor: pointer;
  pointer-events: auto; touch-action: manipulation; -webkit-tap-highlight-color: transparent;
  contain: layout style; user-select: none; -webkit-user-select: none; }
.area { position: absolute; left: 12px; top: 12px; width: 20px; height: 20px; }
.pin { position: absolute; left: 12px; top: 12px; width: 20px; height: 20px; border-radius: 50%; box-sizing: border-box;
  background: var(--pin); border: 6px solid var(--ring); background-clip: padding-box;
  box-shadow: 0 0 0 1.5px rgb(255 255 255 / .92), 0 1px 6px rgb(0 0 0 / .5); }
.spot.similar .pin { background: transparent; border: 3px solid rgb(21 23 27 / .5); }
.spot.pinned .pin { background: var(--accent); background-clip: padding-box;
  box-shadow: 0 0 0 2px var(--accent), 0 1px 8px rgb(0 0 0 / .55); }
.chip { position: absolute; left: 22px; top: 22px; display: flex; gap: 1px 7px; align-items: baseline; padding: 5px 11px;
  max-width: 320px; box-sizing: border-box; white-space: nowrap; border-radius: 999px; color: #fff;
  background: rgb(21 23 27 / .86); box-shadow: 0 1px 5px rgb(0 0 0 / .35); opacity: 0; transition: opacity .16s; }
.spot[data-side="below"] .chip { opacity: 1; transform: translate(-50%, 16px); }
.spot[data-side="above"] .chip { opacity: 1; transform: translate(-50%, calc(-100% - 16px)); }
.spot[data-side="right"] .chip { opacity: 1; transform: translate(16px, -50%); }
.spot[data-side="left"] .chip { opacity: 1; transform: translate(calc(-100% - 16px), -50%); }
.spot.raised { z-index: 100 !important; }
.stage.painted .pin, .stage.painted .chip, .stage.unlabelled .chip { visibility: hidden; }
.stage.painted .spot:focus-visible .pin { visibility: visible; }
.stage.painted:not(.unlabelled) .spot:focus-visible .chip { visibility: visible; }
.spot.raised[data-side="none"] .chip { opacity: 1; transform: translate(-50%, 16px); }
.title { overflow: hidden; text-overflow: ellipsis; }
.kind, .price { flex: none; } .kind { opacity: .82; font-weight: 400; }
.price { font-variant-numeric: tabular-nums; color: var(--accent); font-weight: 600; }
.ad { flex: none; font-size: 11px; font-weight: 600; border: 1px solid rgb(255 255 255 / .55); border-radius: 4px; padding: 0 4px; }
.spot.pinned .chip { background: var(--accent); color: var(--ink); }
.spot.pinned .price { color: inherit; } .spot.pinned .ad { border-color: currentColor; }
.spot:focus-visible .pin { outline: 3px solid #fff; outline-offset: 4px; }
.spot:focus-visible .chip { outline: 2px solid #fff; outline-offset: 2px; }
.stage.compact { font-size: 12px; line-height: 1.2; }
.stage.compact .chip { max-width: 168px; padding: 4px 9px; border-radius: 10px; flex-wrap: wrap; }
.stage.compact .title { max-width: 100%; } .stage.compact .ad + .title { max-width: calc(100% - 50px); }
.stage.compact .kind + .title { flex-basis: 100%; }
.status { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) { .chip { transition: none; } }
@media (forced-colors: active) { .chip { border: 1px solid; } .pin { border-color: CanvasText; } }
`;

/** The socket: opens, says hello, retries by `closePlan`. */
export class Connection {
  #url = "";
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #ended = true;
  #hooks;

  /** @param {{hello: () => object, message: (data: string|ArrayBuffer) => void, state: (state: string, reason: string) => void}} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  open(url) {
    this.close();
    this.#url = url;
    this.#ended = false;
    this.#attempt = 0;
    this.#hooks.state("connecting", "");
    this.#connect();
  }

  close() {
    this.#ended = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close(1000);
  }

  /** A snapshot came: the next loss starts counting from zero. */
  settled() {
    this.#attempt = 0;
    clearTimeout(this.#timer);
  }

  /** Events were lost: connect again and resume. */
  restart() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close(1000);
    this.#lost(0);
  }

  /** The network came back: do not wait for the timer. */
  hurry() {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  send(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    let socket;
    try {
      socket = new WebSocket(this.#url, [...SUBPROTOCOLS]);
      socket.binaryType = "arraybuffer";
    } catch (error) {
      this.#hooks.state("refused", `The overlay address cannot be used: ${error.message}`);
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.restart(), 10_000); // no snapshot in time
    socket.onopen = () => socket === this.#socket && socket.send(JSON.stringify(this.#hooks.hello()));
    socket.onmessage = (event) => socket === this.#socket && this.#hooks.message(event.data);
    socket.onclose = (event) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      this.#lost(event.code);
    };
  }

  #lost(code) {
    clearTimeout(this.#timer);
    if (this.#ended) return;
    const plan = closePlan(code, this.#attempt++, Math.random());
    this.#hooks.state(plan.state, plan.reason);
    if (plan.delayMs === null) this.#ended = true;
    else this.#timer = setTimeout(() => this.#connect(), plan.delayMs);
  }
}

const BUTTON_LAG_PX = 10; // an unseen button may be this far behind before it is worth a style recalculation
const BUTTON_HURRY_MS = 100;
const BUTTON_REST_MS = 500;

/** One hotspot: its button, moved by transform only, and the label to draw. Both are made anew only for another product. */
class SpotView {
  /** @type {Spot} */
  spot;
  /** Where and when it was last in the picture, and with which product: what a tap on it names. */
  seen = { epoch: 0, rtp: 0, pid: 0, x: 0.5, y: 0.5 };
  button = document.createElement("button");
  pressed = null;
  label = { width: 0, height: 0, side: "below" };
  /** @type {[string, string][]} the label's words: [kind, text] */
  words = [];
  /** Changes when the label has to be drawn anew. */
  look = "";
  /** Where the label is; `label.side`: where it was last seen. */
  side = "none";
  #at = { x: 0, y: 0, ms: -Infinity };
  #area = document.createElement("span");
  #chip = document.createElement("span");
  #place = "";
  #size = "";
  #rank = "";

  constructor(spot) {
    this.spot = spot;
    this.button.type = "button";
    this.button.part = "spot";
    this.button.dataset.side = this.side;
    const pin = document.createElement("span");
    pin.className = "pin";
    pin.part = "pin";
    this.#area.className = "area";
    this.#chip.className = "chip";
    this.#chip.part = "chip";
    this.button.append(this.#area, pin, this.#chip);
  }

  /** Stays where it is, and stays at all, while somebody is busy with it. */
  get frozen() {
    return this.button.matches(":focus-visible");
  }

  get held() {
    return this.pressed !== null || this.frozen;
  }

  get raised() {
    return this.button.classList.contains("raised");
  }

  /** @param {boolean} lazy the button is not seen and nobody is about to use it: it need not keep up */
  move(spot, width, height, rank, lazy, nowMs) {
    this.spot = spot;
    if (this.frozen) return;
    const ratio = window.devicePixelRatio || 1;
    const snap = (value) => Math.round(value * ratio) / ratio;
    const x = snap(((spot.x0 + spot.x1) / 2) * width);
    const y = snap(((spot.y0 + spot.y1) / 2) * height);
    const behind = Math.max(Math.abs(x - this.#at.x), Math.abs(y - this.#at.y));
    if (lazy && nowMs - this.#at.ms < (behind > BUTTON_LAG_PX ? BUTTON_HURRY_MS : BUTTON_REST_MS)) return;
    this.#at = { x, y, ms: nowMs };
    const place = `translate(${x}px,${y}px)`;
    if (place !== this.#place) this.button.style.transform = this.#place = place;
    const grow = (share, whole) => Math.max(2.2, Math.round((share * whole) / 5) / 4); // 20 px base, at least 44 px
    const size = `scale(${grow(spot.x1 - spot.x0, width)},${grow(spot.y1 - spot.y0, height)})`;
    if (size !== this.#size) this.#area.style.transform = this.#size = size;
    if (rank !== this.#rank) this.button.style.zIndex = this.#rank = rank;
  }

  dress(/** @type {Card|undefined} */ card, compact) {
    const { state, pinned } = this.spot;
    const title = card?.title || card?.id || "Product";
    const soldOut = card?.availability === "out_of_stock";
    const price = soldOut ? "Sold out" : card?.sale_price || card?.price || "";
    const look = JSON.stringify([state, pinned, title, price, card?.label, card?.third_party, compact]);
    if (look === this.look) return;
    this.look = look;
    this.button.className = `spot ${state}${pinned ? " pinned" : ""}${this.raised ? " raised" : ""}`;
    const paid = disclosureWord(card);
    const parts = state === "similar" ? [["kind", "Similar:"], ["title", title]] : [["title", title], ["price", price]];
    if (paid) parts.unshift(["ad", paid]);
    const shown = parts.filter(([, text]) => text);
    this.words = shown;
    this.#chip.replaceChildren(...shown.flatMap(([name, text]) => {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = text;
      return [span, " "];
    }));
    const visible = shown.map(([, text]) => text).join(" "); // the name begins with what is seen (WCAG 2.5.3)
    const more = [state === "similar" ? price : "", card?.label, pinned ? "shown by the host now" : ""];
    this.button.setAttribute("aria-label", [visible, ...more].filter(Boolean).join(", "));
    this.label.width = 0; // to be measured again
  }

  /** @param {Brush|null} brush what draws the label, null where the button itself is seen */
  measure(brush) {
    if (brush) Object.assign(this.label, brush.labelSize(this));
    else if (this.label.width === 0) Object.assign(this.label, { width: this.#chip.offsetWidth, height: this.#chip.offsetHeight });
  }

  setSide(side) {
    if (side !== "none") this.label.side = side;
    if (side !== this.side) this.button.dataset.side = this.side = side;
  }
}

/** A small picture drawn once and used on every frame: `draw(context)` in CSS pixels. */
function sprite(width, height, scale, draw) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.ceil(width * scale));
  canvas.height = Math.max(1, Math.ceil(height * scale));
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  draw(context);
  return { canvas, width, height };
}

const PIN = 28; // side of a pin's sprite, CSS pixels
const LABEL = Object.freeze({ size: 13, line: 17, padX: 11, padY: 5, gap: 7, radius: 14, maxWidth: 298, wrap: false });
const COMPACT = Object.freeze({ size: 12, line: 15, padX: 9, padY: 4, gap: 7, radius: 10, maxWidth: 150, wrap: true });
const WEIGHT = Object.freeze({ price: 600, ad: 600, kind: 400 });

/** Draws pins, labels and brackets into the picture. Places and sizes in CSS pixels of the displayed picture. */
class Brush {
  #context;
  #scale = 1;
  #compact = false;
  #theme = { accent: "", ink: "", pin: "", ring: "", family: "" };
  #key = "";
  /** @type {Map<string, {canvas: HTMLCanvasElement, width: number, height: number}>} */
  #pins = new Map();
  /** @type {WeakMap<SpotView, {key: string, sprite: {canvas: HTMLCanvasElement, width: number, height: number}}>} */
  #labels = new WeakMap();

  constructor(context) {
    this.#context = context;
  }

  /** Takes over the page's colours and type. Reads style: not for every frame. */
  restyle(host, rect) {
    const style = getComputedStyle(host);
    const value = (name) => style.getPropertyValue(name).trim();
    this.#theme = { accent: value("--accent"), ink: value("--ink"), pin: value("--pin"), ring: value("--ring"), family: style.fontFamily };
    this.#scale = this.#context.canvas.width / Math.max(1, rect.width);
    this.#compact = rect.width < 560;
    const key = JSON.stringify([this.#theme, this.#scale, this.#compact]);
    if (key !== this.#key) this.#pins.clear();
    this.#key = key;
  }

  labelSize(/** @type {SpotView} */ view) {
    const { width, height } = this.#label(view);
    return { width, height };
  }

  draw(/** @type {SpotView} */ view, x, y, labelled) {
    const { spot } = view;
    this.#stamp(this.#pin(spot.pinned ? "pinned" : spot.state), x - PIN / 2, y - PIN / 2);
    const box = labelled ? this.labelBox(view, x, y) : null;
    if (box) this.#stamp(this.#label(view), box.x0, box.y0);
  }

  /** Where a hotspot's label is drawn while its pin is at (x, y), null when it is not. */
  labelBox(/** @type {SpotView} */ view, x, y) {
    const { width, height } = this.#label(view);
    return labelBox(view.raised && view.side === "none" ? "below" : view.side, x, y, width, height);
  }

  /** Corner brackets around a spot's box. */
  brackets(/** @type {Spot} */ spot) {
    const context = this.#context;
    const { width, height } = context.canvas;
    const [x0, y0, x1, y1] = [spot.x0 * width, spot.y0 * height, spot.x1 * width, spot.y1 * height];
    const arm = Math.min(18 * this.#scale, (x1 - x0) / 3, (y1 - y0) / 3);
    context.beginPath();
    for (const [x, y, dx, dy] of [[x0, y0, arm, arm], [x1, y0, -arm, arm], [x1, y1, -arm, -arm], [x0, y1, arm, -arm]]) {
      context.moveTo(x + dx, y);
      context.lineTo(x, y);
      context.lineTo(x, y + dy);
    }
    context.lineJoin = context.lineCap = "round";
    for (const [style, line] of [["rgb(0 0 0 / .45)", 4], [spot.pinned ? this.#theme.accent : "#fff", 2]]) {
      context.strokeStyle = style;
      context.lineWidth = line * this.#scale;
      context.stroke();
    }
  }

  /** On whole pixels: a shifted copy, nothing is resampled. */
  #stamp({ canvas }, x, y) {
    this.#context.drawImage(canvas, Math.round(x * this.#scale), Math.round(y * this.#scale));
  }

  #pin(kind) {
    let made = this.#pins.get(kind);
    if (!made) {
      made = sprite(PIN, PIN, this.#scale, (context) => this.#drawPin(context, kind));
      this.#pins.set(kind, made);
    }
    return made;
  }

  #drawPin(context, kind) {
    const { accent, pin, ring } = this.#theme;
    const disc = (radius, color) => {
      context.beginPath();
      context.arc(PIN / 2, PIN / 2, radius, 0, 2 * Math.PI);
      context.fillStyle = color;
      context.fill();
    };
    const circle = (radius, width, color) => {
      context.beginPath();
      context.arc(PIN / 2, PIN / 2, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke();
    };
    circle(12.6, 2.2, "rgb(0 0 0 / .22)");
    if (kind === "similar") {
      circle(8.5, 3, ring);
    } else {
      circle(7, 6, ring);
      disc(4.2, kind === "pinned" ? accent : pin);
    }
    circle(10.8, kind === "pinned" ? 2 : 1.6, kind === "pinned" ? accent : "rgb(255 255 255 / .94)");
  }

  #label(/** @type {SpotView} */ view) {
    const key = this.#key + view.look;
    const known = this.#labels.get(view);
    if (known?.key === key) return known.sprite;
    const made = this.#drawLabel(view.words, view.spot.pinned);
    this.#labels.set(view, { key, sprite: made });
    return made;
  }

  #drawLabel(words, pinned) {
    const form = this.#compact ? COMPACT : LABEL;
    const font = (kind) => `${WEIGHT[kind] ?? 500} ${kind === "ad" ? 11 : form.size}px ${this.#theme.family}`;
    const measure = (kind, text) => {
      this.#context.font = font(kind);
      return this.#context.measureText(text).width + (kind === "ad" ? 10 : 0);
    };
    const { width, lines } = labelLines(words, measure, form);
    const whole = { width: Math.ceil(width + 2 * form.padX), height: lines.length * form.line + 2 * form.padY };
    return sprite(whole.width, whole.height, this.#scale, (context) => {
      context.beginPath();
      context.roundRect(0, 0, whole.width, whole.height, Math.min(form.radius, whole.height / 2));
      context.fillStyle = pinned ? this.#theme.accent : "rgb(21 23 27 / .86)";
      context.fill();
      context.textBaseline = "middle";
      lines.forEach((line, row) => {
        const middle = form.padY + (row + 0.5) * form.line + 0.5;
        for (const word of line) this.#drawWord(context, word, form.padX + word.x, middle, font(word.kind), pinned);
      });
    });
  }

  #drawWord(context, { kind, text, width }, x, middle, font, pinned) {
    const { accent, ink } = this.#theme;
    const color = pinned ? ink : kind === "price" ? accent : "#fff";
    context.font = font;
    context.fillStyle = color;
    context.globalAlpha = kind === "kind" ? 0.82 : 1;
    context.fillText(text, kind === "ad" ? x + 5 : x, middle);
    if (kind === "ad") {
      context.globalAlpha = 0.6;
      context.strokeStyle = color;
      context.lineWidth = 1;
      context.beginPath();
      context.roundRect(x + 0.5, middle - 8, width - 1, 15, 4);
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}

/** Whether a WebGL renderer's name is that of a processor that only plays at being a graphics card. */
export function isSoftwareRenderer(name) {
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** Whether drawing has a graphics processor behind it. Asked once: a WebGL context is a costly way to ask. */
const isAccelerated = (() => {
  const ask = () => {
    const context = document.createElement("canvas").getContext("webgl", { failIfMajorPerformanceCaveat: true });
    if (!context) return false;
    const unmasked = context.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL;
    const name = String(context.getParameter(unmasked ?? context.RENDERER));
    context.getExtension("WEBGL_lose_context")?.loseContext();
    return !isSoftwareRenderer(name);
  };
  let known = null;
  return () => (known ??= ask());
})();

/** The canvas over the video, and the picture's place. */
class Surface {
  rect = { x: 0, y: 0, width: 0, height: 0 };
  canvas = document.createElement("canvas");
  brush = null;
  #context = null;
  #stage;
  #grabs = true;
  #natural = "";
  #copies = !isAccelerated();
  /** @type {ImageData|null} */
  #pixels = null;
  #staging = document.createElement("canvas").getContext("2d", { alpha: false });
  #copying = false;

  constructor(stage) {
    this.#stage = stage;
    this.canvas.setAttribute("aria-hidden", "true");
    this.visible = false; // until something was drawn: it is opaque
    // Not `desynchronized`: that would take the canvas out of the commit that moves the buttons.
    this.#context = this.canvas.getContext("2d", { alpha: false });
    if (this.#context) this.brush = new Brush(this.#context);
  }

  get usable() {
    return this.#context !== null;
  }

  /** How the picture gets onto the canvas, for `diagnostics`. */
  get way() {
    return this.#copies ? "copied" : "drawn";
  }

  set visible(on) {
    this.canvas.classList.toggle("off", !on);
  }

  /** Whether the picture has the size that it had when `fit` was called. */
  fits(video) {
    return this.#natural === `${video.videoWidth}x${video.videoHeight}`;
  }

  /** Follows the video's place and size. Reads layout: not for every frame. @returns {boolean} something changed */
  fit(host, video) {
    let changed = false;
    this.#natural = `${video.videoWidth}x${video.videoHeight}`;
    const outer = host.getBoundingClientRect();
    const box = video.getBoundingClientRect();
    const style = getComputedStyle(video);
    const inner = pictureRect(style.objectFit, box.width, box.height, video.videoWidth, video.videoHeight);
    const rect = {
      x: Math.round(box.left - outer.left + inner.x), y: Math.round(box.top - outer.top + inner.y),
      width: Math.round(inner.width), height: Math.round(inner.height),
    };
    const old = this.rect;
    if (rect.x !== old.x || rect.y !== old.y || rect.width !== old.width || rect.height !== old.height) {
      this.rect = rect;
      changed = true;
      Object.assign(this.#stage.style, {
        transform: `translate(${rect.x}px,${rect.y}px)`, width: `${rect.width}px`, height: `${rect.height}px`,
      });
      this.#stage.classList.toggle("compact", rect.width < 560);
    }
    if (video.videoWidth > 0 && video.videoHeight > 0 && rect.width > 0) {
      const size = canvasSize(rect, window.devicePixelRatio || 1, isAccelerated());
      if (this.canvas.width !== size.width || this.canvas.height !== size.height) {
        Object.assign(this.canvas, size); // which also empties it
        changed = true;
      }
    }
    this.brush?.restyle(host, rect);
    return changed;
  }

  /**
   * Takes the frame that the video shows right now. By the time a late callback runs, that may be a newer one than the
   * callback was told of: the frame's own timestamp decides, where the browser gives it.
   *
   * @returns {{frame: VideoFrame|null, image: CanvasImageSource, rtp: number|null, mediaTime: number|null, close: () => void}}
   */
  grab(video) {
    if (this.#grabs) {
      try {
        const frame = new VideoFrame(video);
        const rtp = frame.metadata?.().rtpTimestamp;
        const close = () => frame.close();
        if (Number.isInteger(rtp)) return { frame, image: frame, rtp, mediaTime: null, close };
        if (!video.srcObject) return { frame, image: frame, rtp: null, mediaTime: frame.timestamp / 1e6, close };
        frame.close();
        if (!frame.metadata) this.#grabs = false;
      } catch {
        this.#grabs = false; // no WebCodecs here, or a video of another origin
      }
    }
    return { frame: null, image: video, rtp: null, mediaTime: null, close: () => {} };
  }

  /**
   * Draws a grabbed picture and calls `painted` before anything is shown of it.
   *
   * Without a graphics processor `drawImage` converts colours and scales in the slowest of ways; the codec's own
   * conversion (`VideoFrame.copyTo`) takes a fifth of that. A frame in memory is copied at once, so that all of this
   * still happens within the frame's callback.
   */
  draw(picture, painted) {
    const { frame } = picture;
    const { width, height } = this.canvas;
    if (this.#copying) {
      picture.close(); // the one before is still on its way, which a frame in memory never is
    } else if (this.#copies && frame?.visibleRect && !frame.rotation) {
      this.#copy(frame, painted);
    } else {
      this.#context.drawImage(picture.image, 0, 0, width, height);
      picture.close();
      painted();
    }
  }

  async #copy(/** @type {VideoFrame} */ frame, painted) {
    const { width, height } = frame.visibleRect;
    if (this.#pixels?.width !== width || this.#pixels.height !== height) {
      this.#pixels = new ImageData(width, height);
      Object.assign(this.#staging.canvas, { width, height });
    }
    this.#copying = true;
    try {
      await frame.copyTo(this.#pixels.data, { format: "RGBX" });
      this.#put(this.#pixels);
    } catch {
      this.#copies = false; // a frame that cannot be converted here: drawn from now on
      this.#context.drawImage(frame, 0, 0, this.canvas.width, this.canvas.height);
    } finally {
      frame.close();
      this.#copying = false;
    }
    painted();
  }

  /**
   * Onto the canvas, scaled where it has another size. A little smaller, each pixel is its nearest one: 39 dB from bilinear on
   * the rendered show, at a fifth of the time. Where more is left out it would show, and a smaller canvas costs less anyway.
   */
  #put(/** @type {ImageData} */ pixels) {
    const { width, height } = this.canvas;
    if (pixels.width === width && pixels.height === height) return this.#context.putImageData(pixels, 0, 0);
    this.#staging.putImageData(pixels, 0, 0);
    this.#context.imageSmoothingEnabled = width > pixels.width || width < NEAREST_FROM * pixels.width;
    this.#context.drawImage(this.#staging.canvas, 0, 0, width, height);
  }
}

const Base = globalThis.HTMLElement ?? class {};

/** `<vitrine-overlay>`: see the head of this file. */
export class VitrineOverlay extends Base {
  static observedAttributes = ["for", "src", "token", "track", "track-offset", "density", "labels", "surface"];
  static #sheet = null;

  #model = new OverlayModel();
  #stats = new PaintStats();
  #need = new PredictionNeed();
  #announcer = new Announcer();
  #impressions = new Impressions();
  #connection;
  #state = "idle";
  #reason = "";
  #clock = "none";
  #errors = [];
  #connects = 0;
  #stage;
  #group;
  #status;
  #surface;
  #track = null;
  /** @type {((mediaTime: number) => {run: number, time: number}|null)|null} */
  #mediaClock = null;
  #mediaTime = 0; // of the frame on screen, as the browser told it
  #video = null;
  #given = null; // set through the property, wins over the attribute
  #frame = 0;
  #animation = 0;
  #tick = 0;
  #lastReportMs = 0;
  /** @type {Map<number, SpotView>} */
  #views = new Map();
  #shown = { epoch: 0, rtp: 0, frame: 0, kind: "none", spots: [] };
  #covered = false; // the canvas lies on the video
  #neededMs = -Infinity; // when there last was a hotspot to draw
  #hoveredMs = -Infinity; // when a mouse last moved over the picture
  #partedMs = -Infinity; // when labels were last looked at for having gone astray
  #swallowClick = false;
  #hand = false; // the mouse is over something drawn that can be clicked
  #taps = new Map();
  #lastTap = { atMs: -Infinity, target: "" };
  #visible = "";
  #resizes = null;
  #listeners = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    if (!VitrineOverlay.#sheet) {
      VitrineOverlay.#sheet = new CSSStyleSheet();
      VitrineOverlay.#sheet.replaceSync(STYLE);
    }
    root.adoptedStyleSheets = [VitrineOverlay.#sheet];
    this.#stage = document.createElement("div");
    this.#stage.className = "stage";
    this.#stage.part = "stage";
    this.#group = document.createElement("div");
    this.#group.setAttribute("role", "group");
    this.#group.setAttribute("aria-label", "Products in the picture");
    this.#status = document.createElement("div");
    this.#status.className = "status";
    this.#status.setAttribute("role", "status");
    this.#surface = new Surface(this.#stage);
    this.#stage.append(this.#surface.canvas, this.#group);
    const slot = document.createElement("slot");
    slot.addEventListener("slotchange", () => this.#bindVideo());
    root.append(slot, this.#stage, this.#status);
    this.#connection = new Connection({
      hello: () => this.#model.hello,
      message: (text) => this.#receive(text),
      state: (state, reason) => this.#setState(state, reason),
    });
  }

  // -- what an embedding page sees

  /** One of STATES. */
  get state() { return this.#state; }
  /** How long the video is to be held back (`RTCRtpReceiver.jitterBufferTarget`), milliseconds. */
  get latencyMs() { return this.#model.latencyMs; }
  /** @returns {(Card & {pinned: boolean, hidden: boolean})[]} pinned first, then in the server's order */
  get products() {
    const { products, pinned, hidden } = this.#model;
    const cards = [...products.values()].map((card) => ({ ...card, pinned: pinned.has(card.pid), hidden: hidden.has(card.pid) }));
    return cards.sort((a, b) => b.pinned - a.pinned);
  }
  /** Product numbers with a hotspot in the picture now. */
  get visiblePids() { return [...new Set(this.#shown.spots.map((spot) => spot.pid))]; }
  /** What the newest painted frame carries: epoch, rtp (publisher's clock), frame (as received), kind, spots. */
  get shown() { return this.#shown; }
  get density() { return this.getAttribute("density") ?? "all"; }
  set density(value) { this.setAttribute("density", value); }
  get video() { return this.#video; }
  set video(element) { this.#given = element; this.#bindVideo(); }
  /** The recorded track in place of a live stream (a `RecordedTrack` of ./track.js), null without one. */
  get track() { return this.#track; }
  set track(track) {
    this.#connection.close();
    this.#track = track;
    this.#model = new OverlayModel();
    if (!track) return this.#setState("idle", "");
    this.#model.apply(track.snapshot);
    this.#model.history = track;
    this.#setTrackOffset();
    this.#emit("vitrine-products", { products: this.products });
    this.#setState("replay", "");
  }
  /** What tells a frame's own timestamp and its run by the player's clock, for live video that is no WebRTC; null otherwise. */
  get mediaClock() { return this.#mediaClock; }
  set mediaClock(tell) {
    const model = this.#model;
    if (tell && !this.#mediaClock) model.history = model.history.longer(KEEP_LONG_MS);
    this.#mediaClock = tell;
    model.backMs = tell ? BACK_MS : 0;
    model.at = null;
  }
  /** Everything one wants to know when something looks wrong. */
  get diagnostics() {
    const { live, latencyMs, log, seq, epochs, history, ignored } = this.#model;
    return {
      version: VERSION, state: this.#state, reason: this.#reason, clock: this.#clock,
      surface: this.#usesCanvas ? `canvas, ${this.#surface.way}` : "video",
      picture: { ...this.#surface.rect }, canvas: [this.#surface.canvas.width, this.#surface.canvas.height],
      live, latencyMs, log, seq, epochs: epochs.map((pair) => [...pair]), samples: history.size, ignored,
      connects: this.#connects, errors: [...this.#errors], painted: { ...this.#stats.total }, shown: this.#shown,
    };
  }

  /** Asks for a product's card as if its entry in the product list was tapped. @returns {string} the tap's id */
  openProduct(pid) {
    const { epoch, rtp } = this.#shown;
    return this.#sendTap({ x: 0.5, y: 0.5, epoch, rtp, pid });
  }

  /**
   * The frame on screen, to be kept and asked about. Call `close` when it has been drawn.
   *
   * @returns {{epoch: number, rtp: number, image: CanvasImageSource, close: () => void}|null}
   *   null where the player does not name its frames; rtp is on the publisher's clock
   */
  grab() {
    if (!this.#video || this.#video.readyState < 2 || !this.#exact) return null;
    const { rtp, mediaTime, image, close } = this.#surface.grab(this.#video);
    const place = this.#mediaClock ? this.#onMedia(mediaTime ?? this.#mediaTime) : this.#model.locate(rtp ?? this.#shown.frame);
    if (!place) close();
    return place && { epoch: place.epoch, rtp: place.key, image, close };
  }

  // -- life

  connectedCallback() {
    const stop = new AbortController();
    this.#listeners = stop;
    const on = (target, name, handler) => target.addEventListener(name, handler, { signal: stop.signal });
    on(window, "pagehide", () => this.#connection.close());
    on(window, "pageshow", (event) => event.persisted && this.#open());
    on(window, "online", () => this.#connection.hurry());
    on(document, "DOMContentLoaded", () => this.#bindVideo());
    on(window, "pointermove", (event) => this.#hover(event));
    stop.signal.addEventListener("abort", this.#listenToPicture());
    this.#resizes = new ResizeObserver(() => this.#layout());
    this.#resizes.observe(this);
    this.#tick = setInterval(() => this.#everyQuarterSecond(), 250);
    this.#bindVideo();
    this.#open();
  }

  disconnectedCallback() {
    this.#listeners?.abort();
    this.#resizes?.disconnect();
    clearInterval(this.#tick);
    this.#connection.close();
    this.#unbindVideo();
    this.#state = "idle";
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after) return;
    if (name === "src" || name === "token" || name === "track") this.#open();
    else if (name === "track-offset") this.#setTrackOffset();
    else if (name === "for") this.#bindVideo();
    else this.#repaint();
  }

  /** Media time that the player adds to the file's own. */
  #setTrackOffset() {
    if (!this.#track) return;
    const ms = Number(this.getAttribute("track-offset") ?? 0);
    this.#model.epochs = [[0, Math.round((Number.isFinite(ms) ? ms : 0) * TICKS_PER_MS) >>> 0]];
    if (this.#clock !== "none") this.#repaint();
  }

  async #openTrack(/** @type {string} */ address) {
    this.#setState("connecting", "");
    try {
      const { loadTrack } = await import("./track.js");
      const track = await loadTrack(new URL(address, document.baseURI));
      if (address === this.getAttribute("track")) this.track = track;
    } catch (error) {
      if (address === this.getAttribute("track")) this.#setState("missing", error.message);
    }
  }

  #open() {
    const track = this.getAttribute("track");
    if (track) {
      this.#openTrack(track);
      return;
    }
    const src = this.getAttribute("src");
    if (!src) return;
    let url;
    try {
      url = new URL(src, document.baseURI);
    } catch {
      return this.#setState("refused", `"${src}" is not an address.`);
    }
    url.protocol = { "http:": "ws:", "https:": "wss:" }[url.protocol] ?? url.protocol;
    const token = this.getAttribute("token");
    if (token) url.searchParams.set("token", token);
    this.#connection.open(url.href);
  }

  #bindVideo() {
    const wrapped = this.querySelector("video");
    this.classList.toggle("wraps", wrapped !== null);
    const id = this.getAttribute("for");
    const found = this.#given ?? wrapped ?? (id ? this.getRootNode().getElementById?.(id) : null);
    if (found === this.#video) return;
    this.#unbindVideo();
    if (!found || typeof found.play !== "function") return;
    this.#video = found;
    this.#resizes?.observe(found);
    found.addEventListener("resize", this.#layout);
    this.#layout();
    this.#arm();
  }

  #unbindVideo() {
    const video = this.#video;
    this.#video = null;
    cancelAnimationFrame(this.#animation);
    if (!video) return;
    video.cancelVideoFrameCallback?.(this.#frame);
    video.removeEventListener("resize", this.#layout);
    this.#resizes?.unobserve(video);
  }

  #layout = () => {
    this.#stage.classList.toggle("unlabelled", this.getAttribute("labels") === "off");
    if (this.#video && this.#surface.fit(this, this.#video) && this.#clock !== "none") this.#repaint();
  };

  // -- frames

  get #usesCanvas() {
    return this.#surface.usable && this.getAttribute("surface") !== "video";
  }

  #arm() {
    const video = this.#video;
    if (!video) return;
    if (video.requestVideoFrameCallback) {
      this.#frame = video.requestVideoFrameCallback((now, metadata) => {
        this.#arm();
        this.#mediaTime = metadata.mediaTime;
        this.#paint(metadata);
      });
    } else {
      this.#animation = requestAnimationFrame(() => {
        this.#arm();
        if (video.readyState >= 2) this.#paint({ mediaTime: video.currentTime });
      });
    }
  }

  /**
   * Which sample belongs to the frame on screen, by the best clock this player offers.
   *
   * @param {number|undefined} rtp RTP timestamp of that frame, where known
   */
  #drawing(rtp, mediaTime) {
    const model = this.#model;
    if (!Number.isInteger(rtp) && this.#clock === "rtp" && !this.#mediaClock) { // a copy of the last frame, as a browser makes when tracks end
      const { frame, epoch, rtp: key } = this.#shown;
      return { frame, epoch, rtp: key, ...model.history.draw(epoch, key) };
    }
    if (!Number.isInteger(rtp) && this.#video.srcObject) { // live, but the frame has no name: newest sample, not frame-exact
      this.#clock = "arrival";
      const epoch = model.epochs.at(-1)?.[0] ?? 0;
      const sample = model.history.newest(epoch);
      const spots = sample ? [...sample.spots.values()] : [];
      return { frame: 0, epoch, rtp: sample?.rtp ?? 0, kind: sample ? "predicted" : "none", spots, ageTicks: null };
    }
    if (this.#mediaClock && !Number.isInteger(rtp)) {
      this.#clock = "media";
      const place = this.#onMedia(mediaTime);
      if (!place) return { frame: 0, epoch: 0, rtp: 0, kind: "none", spots: [], ageTicks: null };
      return { frame: place.key, epoch: place.epoch, rtp: place.key, ...model.history.draw(place.epoch, place.key) };
    }
    if (Number.isInteger(rtp)) this.#clock = "rtp";
    else this.#clock = this.#video.requestVideoFrameCallback ? "media" : "media, without requestVideoFrameCallback";
    const frame = Number.isInteger(rtp) ? rtp >>> 0 : Math.round(mediaTime * 90_000) >>> 0;
    const place = model.locate(frame);
    if (!place) return { frame, epoch: 0, rtp: frame, kind: "none", spots: [], ageTicks: null };
    return { frame, epoch: place.epoch, rtp: place.key, ...model.history.draw(place.epoch, place.key) };
  }

  #onMedia(mediaTime) {
    const told = this.#mediaClock(mediaTime);
    if (!told) return null;
    const { run, time } = told;
    return this.#model.locateMedia(Math.round(time * 90_000) >>> 0, run);
  }

  /** Live frames that say which they are. */
  get #exact() {
    return this.#clock === "rtp" || (this.#clock === "media" && this.#mediaClock !== null);
  }

  /** Puts a frame on the canvas with what belongs on it. Without a hotspot to show, the video itself is shown. */
  #paint(metadata) {
    if (!this.#surface.fits(this.#video)) this.#surface.fit(this, this.#video); // the first frame, or one of another size
    const now = performance.now();
    const picture = this.#drawsPicture ? this.#surface.grab(this.#video) : null;
    const drawing = this.#drawing(picture?.rtp ?? metadata.rtpTimestamp, picture?.mediaTime ?? metadata.mediaTime);
    const { frame, epoch, rtp, kind } = drawing;
    const live = this.#model.live || this.#mediaClock !== null; // a picture that is behind is still shown when the host has gone
    const next = { frame, epoch, rtp, kind, spots: this.#model.select(drawing.spots, this.density, live) };
    if (next.spots.length > 0) this.#neededMs = now;
    const done = (covered) => {
      const again = this.#exact && frame === this.#shown.frame && kind === this.#shown.kind;
      if (this.#model.live && !again) this.#count(kind, drawing.ageTicks, now);
      this.#shown = next;
      this.#render(covered, now);
    };
    if (picture && now - this.#neededMs < LINGER_MS) return this.#surface.draw(picture, () => done(true));
    picture?.close();
    done(false);
  }

  #count(kind, ageTicks, nowMs) {
    this.#stats.add(kind, ageTicks);
    const want = this.#exact ? this.#need.update(nowMs, kind) : null;
    if (want) this.#connection.send(want);
  }

  get #drawsPicture() {
    return this.#usesCanvas && this.density !== "off" && this.#video?.readyState >= 2;
  }

  get #labelled() {
    return this.getAttribute("labels") !== "off";
  }

  /** Pins, labels and brackets onto the picture just drawn, and the buttons after them. */
  #render(covered, nowMs) {
    if (covered !== this.#covered) {
      this.#covered = this.#surface.visible = covered;
      this.#stage.classList.toggle("painted", covered);
    }
    this.#moveSpots(nowMs);
    if (this.#labelled && nowMs - this.#partedMs >= PART_MS) {
      this.#partedMs = nowMs;
      const { width, height } = this.#surface.rect;
      if (labelsAstray(this.#labels((view) => view.side), width, height)) this.#placeLabels();
    }
    if (!covered) return;
    const { brush, rect } = this.#surface;
    const drawn = this.#shown.spots.map((spot) => this.#views.get(spot.id)).reverse(); // most important on top
    for (const view of drawn) if (view.raised || view.spot.pinned) brush.brackets(view.spot);
    for (const view of drawn) {
      const { x, y } = hitArea(view.spot, rect.width, rect.height);
      if (!view.frozen) brush.draw(view, x, y, this.#labelled);
    }
  }

  /** Draws once more what is on screen: a setting or the list changed, and the next frame may be long in coming. */
  #repaint() {
    if (!this.#video) return;
    const rtp = this.#clock === "rtp" ? this.#shown.frame : undefined;
    this.#paint({ rtpTimestamp: rtp, mediaTime: this.#video.requestVideoFrameCallback ? this.#mediaTime : this.#video.currentTime });
  }

  #moveSpots(nowMs) {
    const { epoch, rtp, spots } = this.#shown;
    const { width, height } = this.#surface.rect;
    const lazy = this.#covered && nowMs - this.#hoveredMs > HOVER_MS;
    const now = new Set(spots.map((spot) => spot.id));
    for (const [id, view] of this.#views) {
      if (now.has(id) || view.held) continue;
      view.button.remove();
      this.#views.delete(id);
    }
    const byArea = [...spots].sort((a, b) => (b.x1 - b.x0) * (b.y1 - b.y0) - (a.x1 - a.x0) * (a.y1 - a.y0));
    byArea.forEach((spot, rank) => {
      const view = this.#views.get(spot.id) ?? this.#addView(spot);
      view.seen = { epoch, rtp, pid: spot.pid, x: (spot.x0 + spot.x1) / 2, y: (spot.y0 + spot.y1) / 2 };
      view.move(spot, width, height, String(rank + 1), lazy, nowMs);
      view.dress(this.#model.products.get(spot.pid), width < 560);
    });
  }

  // -- hotspots and taps

  #addView(spot) {
    const view = new SpotView(spot);
    const { button } = view;
    this.#views.set(spot.id, view);
    const after = [...this.#views.values()].filter((other) => other.spot.id > spot.id)
      .sort((a, b) => a.spot.id - b.spot.id)[0];
    this.#group.insertBefore(button, after?.button ?? null); // keyboard order: by track
    const raise = (on) => {
      button.classList.toggle("raised", on);
      if (this.#video?.paused) this.#repaint();
    };
    button.addEventListener("pointerenter", () => raise(true));
    button.addEventListener("pointerleave", () => raise(view.frozen));
    button.addEventListener("focus", () => raise(view.frozen));
    button.addEventListener("blur", () => raise(false));
    let aimed = view; // what is painted under the pointer, which another button may happen to cover
    button.addEventListener("pointerdown", (event) => {
      aimed = view.frozen ? view : this.#painted(event) ?? view;
      this.#press(aimed, event, button);
    });
    button.addEventListener("pointerup", (event) => this.#release(aimed, event));
    button.addEventListener("pointercancel", () => { aimed.pressed = null; });
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      if (event.detail === 0) this.#tap(view, view.seen); // keyboard or assistive technology
    });
    return view;
  }

  /** Where a pointer is: 0..1 of the picture, and in CSS pixels of it. Null outside it. */
  #within(event) {
    const box = this.#stage.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    if (!(left >= 0 && top >= 0 && left <= box.width && top <= box.height)) return null;
    return { left, top, x: left / box.width, y: top / box.height };
  }

  /** A mouse over the picture is about to click something: buttons keep up with it. */
  #hover(event) {
    if (event.pointerType !== "mouse" || !this.#video) return;
    const inside = this.#covered && this.#within(event) !== null;
    if (inside) this.#hoveredMs = performance.now();
    const hand = inside && event.composedPath()[0] === this.#video && this.#painted(event) !== null; // a drawn label
    if (hand !== this.#hand) this.#video.style.cursor = (this.#hand = hand) ? "pointer" : "";
  }

  /**
   * Pointers that meet the picture itself: a button may lag behind its pin, and the pin is what a finger aims at.
   *
   * @returns {() => void} what ends it
   */
  #listenToPicture() {
    const stop = new AbortController();
    const on = (name, handler) => window.addEventListener(name, (event) => {
      if (this.#video && event.composedPath()[0] === this.#video) handler(event);
    }, { signal: stop.signal, capture: true });
    let view = null;
    on("pointerdown", (event) => {
      this.#swallowClick = false;
      view = event.button === 0 ? this.#painted(event) : null;
      if (view) this.#press(view, event, this.#video);
    });
    on("pointerup", (event) => {
      if (view) this.#swallowClick = this.#release(view, event);
      view = null;
    });
    on("pointercancel", () => {
      if (view) view.pressed = null;
      view = null;
    });
    on("click", (event) => {
      if (this.#swallowClick) event.stopPropagation(); // it was for the hotspot, not for the video
      this.#swallowClick = false;
    });
    return () => stop.abort();
  }

  /** The view whose label or spot is painted under a pointer, null without one. Seen buttons speak for themselves. */
  #painted(event) {
    const at = this.#covered ? this.#within(event) : null;
    if (!at) return null;
    const { brush, rect: { width, height } } = this.#surface;
    const labels = this.#labelled ? this.#shown.spots : []; // they lie over the boxes, the most important one on top
    const named = labels.find((spot) => {
      const view = this.#views.get(spot.id);
      const { x, y } = hitArea(spot, width, height);
      const box = view && !view.frozen ? brush.labelBox(view, x, y) : null;
      return box && at.left >= box.x0 && at.left <= box.x1 && at.top >= box.y0 && at.top <= box.y1;
    });
    const spot = named ?? hotspotAt(this.#shown.spots, at.left, at.top, width, height);
    return spot ? this.#views.get(spot.id) ?? null : null;
  }

  #press(view, event, target) {
    if (event.button !== 0) return;
    const box = this.#stage.getBoundingClientRect();
    view.pressed = {
      ...view.seen, left: event.clientX, top: event.clientY,
      x: clamp((event.clientX - box.left) / box.width, 0, 1), y: clamp((event.clientY - box.top) / box.height, 0, 1),
    };
    target.setPointerCapture(event.pointerId); // the target moves on; the finger stays
  }

  /** @returns {boolean} whether it was a tap, not a drag */
  #release(view, event) {
    const at = view.pressed;
    view.pressed = null;
    if (!at || Math.hypot(event.clientX - at.left, event.clientY - at.top) > 32) return false;
    this.#tap(view, at);
    return true;
  }

  #tap(view, { x, y, epoch, rtp, pid }) {
    this.#sendTap({ x, y, epoch, rtp, h: view.spot.id, pid });
  }

  #sendTap(body) {
    const { h: hotspot = null, pid } = body;
    const now = performance.now();
    const id = crypto.getRandomValues(new Uint32Array(2)).reduce((text, part) => text + part.toString(36), "");
    const target = `${hotspot} ${pid}`;
    if (now - this.#lastTap.atMs < 300 && target === this.#lastTap.target) return id; // a double tap is one tap
    this.#lastTap = { atMs: now, target };
    const message = { t: "tap", id, ...body };
    this.#taps.set(id, { message, atMs: now });
    this.#connection.send(message);
    this.#emit("vitrine-tap", { id, hotspot, pid, x: body.x, y: body.y, epoch: body.epoch, rtp: body.rtp });
    if (this.#track) this.#answerFromTrack(id, hotspot, pid);
    return id;
  }

  /** A recording has nobody to ask: the card is the one it came with. */
  #answerFromTrack(id, hotspot, pid) {
    const state = this.#shown.spots.find((spot) => spot.id === hotspot)?.state ?? "exact";
    const card = this.#model.products.get(pid) ?? null;
    this.#answer({ id, hit: card !== null, state, card, reason: card ? "" : "not in the list of products" });
  }

  // -- messages

  #receive(data) {
    let message = null;
    try {
      message = typeof data === "string" ? JSON.parse(data) : decodeBinary(data);
    } catch {
      // counted by the model as not understood
    }
    const { changed, gap, card, error } = this.#model.apply(message);
    if (gap) return this.#connection.restart();
    if (error) this.#errors = [...this.#errors, error].slice(-10);
    if (card) this.#answer(card);
    if (changed.has("snapshot")) this.#synced();
    if (changed.has("live") || changed.has("latency")) this.#showLive();
    if (changed.has("live") && !this.#model.live) this.#repaint();
    if (changed.has("products")) {
      this.#emit("vitrine-products", { products: this.products });
      if (this.#video?.paused) this.#repaint();
    }
  }

  #synced() {
    this.#connects++;
    this.#need.reset();
    this.#connection.settled();
    for (const { message } of this.#taps.values()) this.#connection.send(message); // idempotent by id
  }

  #answer(card) {
    if (!this.#taps.delete(card.id)) return;
    this.#emit("vitrine-card", card);
  }

  #showLive() {
    const { live, reason } = this.#model;
    const broken = /timeout|error|fail|lost|silent/i.test(reason); // the host may be back any moment
    this.#setState(live ? "live" : reason === "" || broken ? "away" : "ended", reason);
  }

  #setState(state, reason) {
    this.#state = state;
    this.#reason = reason;
    this.#emit("vitrine-state", { state, reason, live: this.#model.live, latencyMs: this.#model.latencyMs });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  // -- what need not happen on every frame

  #everyQuarterSecond() {
    const now = performance.now();
    this.#layout();
    this.#placeLabels();
    this.#watchVisible(now);
    for (const [id, tap] of this.#taps) {
      if (now - tap.atMs > 4000) this.#answer({ id, hit: false, state: "unsure", card: null, reason: "no-answer" });
    }
    if (now - this.#lastReportMs >= 5000) {
      const report = this.#stats.take(now - this.#lastReportMs);
      this.#lastReportMs = now;
      if (this.#model.live && report.frames > 0) this.#connection.send(report);
    }
  }

  #placeLabels() {
    const { width, height } = this.#surface.rect;
    const brush = this.#covered ? this.#surface.brush : null;
    const views = this.#shown.spots.map((spot) => this.#views.get(spot.id)).filter(Boolean);
    for (const view of views) view.measure(brush); // all reads, then all writes
    const sides = placeLabels(this.#labels((view) => view.label.side), width, height);
    for (const view of views) view.setSide(sides.get(view.spot.id) ?? "none");
  }

  /** @param {(view: SpotView) => string} side of its label */
  #labels(side) {
    const { width, height } = this.#surface.rect;
    return this.#shown.spots.map(({ id }) => this.#views.get(id)).filter(Boolean).map((view) => ({
      id: view.spot.id, x: ((view.spot.x0 + view.spot.x1) / 2) * width, y: ((view.spot.y0 + view.spot.y1) / 2) * height,
      width: view.label.width, height: view.label.height, side: side(view),
    }));
  }

  #watchVisible(now) {
    const spots = document.visibilityState === "visible" ? this.#shown.spots : [];
    const fresh = this.#impressions.update(now, spots.map((spot) => spot.pid));
    if (fresh.length > 0) this.#connection.send({ t: "seen", pids: fresh });
    const titles = new Map(spots.map((spot) => [spot.pid, this.#model.products.get(spot.pid)?.title ?? ""]).filter(([, title]) => title));
    const words = this.#announcer.update(now, titles);
    if (words) this.#status.textContent = words;
    const pids = [...titles.keys()].sort((a, b) => a - b);
    if (String(pids) !== this.#visible) {
      this.#visible = String(pids);
      this.#emit("vitrine-visible", { pids });
    }
  }
}

if (globalThis.customElements && !customElements.get("vitrine-overlay")) customElements.define("vitrine-overlay", VitrineOverlay);
