/**
 * HLS (RFC 8216) in a few hundred lines, for recordings and live lists, so that hotspots can be keyed by the media's own
 * timestamps: segments go into Media Source Extensions as they are, nothing is shifted, and a frame's `mediaTime` is the
 * timestamp that stands in the segment (measured in Chromium: fragmented MP4 and MPEG-TS, with B-frames, all frames).
 *
 * Where a browser cannot take the segments that way (MPEG-TS in most), its own HLS player is used (`way` is "native"). That
 * one may count from 0: compare the first frame's `mediaTime` with the track's first time once, and tell the element
 * (`track-offset`).
 *
 * Two parts: the core reads playlists and boxes, without a document; `HlsPlayer` holds the buffers and fetches.
 * Left out: encryption (refused in words), timestamps that start anew at a discontinuity, subtitles, changing quality while
 * playing.
 */

const AHEAD_S = 20; // fetched beyond the picture on screen
const BEHIND_S = 30; // kept before it
const EDGE_SEGMENTS = 3; // a live list is joined so many segments from its end (RFC 8216, 6.3.3)
const RETRIES = 4;
const NATIVE_TYPE = "application/vnd.apple.mpegurl";

// ---- core ------------------------------------------------------------------------------------------------------------

/** @typedef {{url: string, range: [number, number]|null}} Part  range: first byte, and bytes */
/** @typedef {Part & {number: number, duration: number, map: Part|null, jump: boolean}} Segment  jump: timestamps start anew */
/** @typedef {{url: string, bandwidth: number, height: number, codecs: string, audio: string}} Variant */
/**
 * @typedef {{segments: Segment[], ended: boolean, target: number}} MediaList
 * @typedef {{variants: Variant[], audio: Map<string, string>}} MasterList  audio: address by group
 */

const ATTRIBUTE = /([A-Z0-9-]+)=("[^"]*"|[^,]*)/g;

/** The attributes behind a tag: `A=1,B="x,y"`. */
export function parseAttributes(/** @type {string} */ text) {
  return Object.fromEntries([...text.matchAll(ATTRIBUTE)].map(([, name, value]) => [name, value.replace(/^"|"$/g, "")]));
}

/**
 * A playlist of either kind.
 *
 * @param {string} base its own address
 * @returns {MediaList|MasterList}
 * @throws {Error} no playlist, or one that cannot be played: in words for people
 */
export function parsePlaylist(text, base) {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  if (!lines[0]?.startsWith("#EXTM3U")) throw new Error("This is no HLS playlist.");
  return lines.some((line) => line.startsWith("#EXT-X-STREAM-INF:")) ? parseMaster(lines, base) : parseMedia(lines, base);
}

function parseMaster(lines, base) {
  const variants = [];
  const audio = new Map();
  lines.forEach((line, index) => {
    const [tag, rest] = split(line);
    if (tag === "#EXT-X-MEDIA") {
      const { TYPE, URI, "GROUP-ID": group, DEFAULT } = parseAttributes(rest);
      if (TYPE === "AUDIO" && URI && (DEFAULT === "YES" || !audio.has(group))) audio.set(group, new URL(URI, base).href);
    }
    if (tag !== "#EXT-X-STREAM-INF") return;
    const address = lines.slice(index + 1).find((other) => other && !other.startsWith("#"));
    const { BANDWIDTH, RESOLUTION = "", CODECS = "", AUDIO = "" } = parseAttributes(rest);
    if (address) {
      variants.push({
        url: new URL(address, base).href, bandwidth: Number(BANDWIDTH) || 0, height: Number(RESOLUTION.split("x")[1]) || 0, codecs: CODECS, audio: AUDIO,
      });
    }
  });
  if (variants.length === 0) throw new Error("This HLS playlist names no video.");
  return { variants, audio };
}

function parseMedia(lines, base) {
  const list = { segments: [], ended: false, target: 6 };
  let number = 0;
  let duration = 0;
  let range = null;
  let map = null;
  let jump = false;
  const ends = new Map(); // a range without an offset goes on where the last one of that file ended
  const bytes = (text, url) => {
    const [length, from] = text.split("@").map(Number);
    const start = from ?? ends.get(url) ?? 0;
    ends.set(url, start + length);
    return [start, length];
  };
  for (const line of lines) {
    const [tag, rest] = split(line);
    if (line && !line.startsWith("#")) {
      const url = new URL(line, base).href;
      list.segments.push({ url, range: range && bytes(range, url), number: number++, duration, map, jump });
      [duration, range, jump] = [0, null, false];
    } else if (tag === "#EXT-X-MEDIA-SEQUENCE") number = Number(rest) || 0;
    else if (tag === "#EXT-X-TARGETDURATION") list.target = Number(rest) || 6;
    else if (tag === "#EXTINF") duration = Number.parseFloat(rest) || 0;
    else if (tag === "#EXT-X-BYTERANGE") range = rest;
    else if (tag === "#EXT-X-DISCONTINUITY") jump = true;
    else if (tag === "#EXT-X-ENDLIST") list.ended = true;
    else if (tag === "#EXT-X-MAP") {
      const { URI = "", BYTERANGE } = parseAttributes(rest);
      const url = new URL(URI, base).href;
      map = { url, range: BYTERANGE ? bytes(BYTERANGE, url) : null };
    } else if (tag === "#EXT-X-KEY" && parseAttributes(rest).METHOD !== "NONE") throw new Error("This video is encrypted, which this page cannot play.");
  }
  return list;
}

/** A line's tag and what follows its colon. */
function split(line) {
  const colon = line.indexOf(":");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
}

/** The variant to play: the best that the picture's height and the connection have a use for, else the least. */
export function chooseVariant(/** @type {Variant[]} */ variants, height, bitsPerSecond) {
  const sorted = [...variants].sort((a, b) => a.bandwidth - b.bandwidth);
  const enough = sorted.find((one) => one.height >= height) ?? sorted.at(-1);
  return sorted.filter((one) => one.bandwidth <= Math.min(enough.bandwidth, bitsPerSecond)).at(-1) ?? sorted[0];
}

const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl"]);
const hex = (byte) => byte.toString(16).padStart(2, "0");

/** Boxes of an MP4 (ISO 14496-12) as [type, first byte, end], from `at` to `end`. */
function* boxes(/** @type {DataView} */ view, at, end) {
  while (at + 8 <= end) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(...[4, 5, 6, 7].map((byte) => view.getUint8(at + byte)));
    if (size < 8 || at + size > end) return;
    yield [type, at + 8, at + size];
    at += size;
  }
}

/**
 * Codecs of an initialisation segment, as `MediaSource.isTypeSupported` wants them (RFC 6381). A list without a master
 * does not name them.
 */
export function codecsOf(/** @type {ArrayBuffer} */ init) {
  const view = new DataView(init);
  const found = [];
  const walk = (at, end) => {
    for (const [type, from, to] of boxes(view, at, end)) {
      if (CONTAINERS.has(type)) walk(from, to);
      else if (type === "stsd") for (const entry of boxes(view, from + 8, to)) found.push(codecOf(view, entry));
    }
  };
  walk(0, view.byteLength);
  return found.filter(Boolean).join(",");
}

function codecOf(view, [type, from, to]) {
  if (type === "mp4a") return "mp4a.40.2";
  if (type === "Opus" || type === "fLaC" || type === "ac-3" || type === "ec-3") return type.toLowerCase() === "flac" ? "flac" : type.toLowerCase();
  if (!/^(avc[13]|hvc1|hev1|vp09|av01)$/.test(type)) return "";
  for (const [name, at] of boxes(view, from + 78, to)) { // a visual sample entry is 78 bytes, then its boxes
    const byte = (offset) => view.getUint8(at + offset);
    if (name === "avcC") return `${type}.${hex(byte(1))}${hex(byte(2))}${hex(byte(3))}`;
    if (name === "vpcC") return `vp09.${hex(byte(4))}.${hex(byte(5))}.${hex(byte(6) >> 4)}`;
    if (name === "av1C") return `av01.${byte(1) >> 5}.${String(byte(1) & 31).padStart(2, "0")}M.08`;
    if (name === "hvcC") return `${type}.1.6.L${byte(12)}.B0`;
  }
  return "";
}

const TS_CODECS = Object.freeze({ 0x1b: "avc1.640028", 0x24: "hvc1.1.6.L120.B0", 0x0f: "mp4a.40.2", 0x03: "mp4a.69", 0x04: "mp4a.6B" });

/** Codecs of an MPEG transport stream (ISO 13818-1) by its programme map; "" when there is none in it. */
export function codecsOfTs(/** @type {ArrayBuffer} */ segment) {
  const view = new DataView(segment);
  let maps = -1;
  for (let at = 0; at + 188 <= view.byteLength && view.getUint8(at) === 0x47; at += 188) {
    const pid = view.getUint16(at + 1) & 0x1fff;
    if ((view.getUint8(at + 1) & 0x40) === 0 || (pid !== 0 && pid !== maps)) continue;
    const skip = view.getUint8(at + 3) & 0x20 ? 1 + view.getUint8(at + 4) : 0;
    const table = at + 5 + skip + view.getUint8(at + 4 + skip);
    const end = Math.min(table + 3 + (view.getUint16(table + 1) & 0xfff) - 4, at + 188);
    if (pid === 0) {
      for (let row = table + 8; row + 4 <= end; row += 4) if (view.getUint16(row) !== 0) maps = view.getUint16(row + 2) & 0x1fff;
      continue;
    }
    const found = new Set();
    for (let row = table + 12 + (view.getUint16(table + 10) & 0xfff); row + 5 <= end; row += 5 + (view.getUint16(row + 3) & 0xfff)) {
      found.add(TS_CODECS[view.getUint8(row)] ?? "");
    }
    return [...found].filter(Boolean).join(",");
  }
  return "";
}

/**
 * Where each segment of a list begins on the media clock, from one that is known: durations in between are exact enough to
 * find the segment that holds a time, and the next one is always fetched after it.
 */
export class SegmentTimes {
  #number = 0;
  #at = 0;

  /** Segment `number` begins at `at` seconds. */
  anchor(number, at) {
    this.#number = number;
    this.#at = at;
  }

  startOf(/** @type {Segment[]} */ segments, index) {
    const known = this.#number - (segments[0]?.number ?? 0);
    let at = this.#at;
    for (let i = known; i < index; i++) at += segments[i]?.duration ?? 0;
    for (let i = known - 1; i >= index; i--) at -= segments[i]?.duration ?? 0;
    return at;
  }

  /** @returns {number} index of the segment that holds a time, the first or last one when it lies outside */
  indexAt(/** @type {Segment[]} */ segments, time) {
    let index = 0;
    while (index + 1 < segments.length && this.startOf(segments, index + 1) <= time + 0.01) index++;
    return index;
  }
}

// ---- player ----------------------------------------------------------------------------------------------------------

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const once = (target, name) => new Promise((done) => target.addEventListener(name, done, { once: true }));

/** One playlist into one source buffer. */
class Feed {
  /** @type {SourceBuffer|null} */
  buffer = null;
  list;
  #url;
  #get;
  #video;
  #times = new SegmentTimes();
  #next = 0; // segment number
  #map = "";
  #firstSeen = true;

  constructor(url, list, video, get) {
    this.#url = url;
    this.list = list;
    this.#video = video;
    this.#get = get;
    const at = list.ended ? 0 : Math.max(0, list.segments.length - EDGE_SEGMENTS);
    this.#next = list.segments[at]?.number ?? 0;
  }

  /** Media time at which the list begins. */
  get start() {
    return this.#times.startOf(this.list.segments, 0);
  }

  get end() {
    return this.#times.startOf(this.list.segments, this.list.segments.length);
  }

  get done() {
    return this.list.ended && this.#next > (this.list.segments.at(-1)?.number ?? -1);
  }

  /** What the first segments need before there is a buffer: its type. */
  async type(named) {
    const segment = this.#segment() ?? this.list.segments[0];
    if (!segment) throw new Error("This HLS playlist holds no video yet.");
    if (segment.map) return `video/mp4; codecs="${named || codecsOf(await this.#get(segment.map))}"`;
    return `video/mp2t; codecs="${named || codecsOfTs(await this.#get(segment))}"`;
  }

  /** Jump to the segment that holds a time, unless that is there or coming anyway. */
  seek(time) {
    if (this.#ahead(time) > 0) return;
    const { segments } = this.list;
    this.#next = segments[this.#times.indexAt(segments, time)]?.number ?? this.#next;
  }

  /** Fetches and appends one segment when one is wanted. @returns {Promise<boolean>} whether it did */
  async step() {
    const time = this.#video.currentTime;
    const segment = this.#segment();
    if (!segment || this.#ahead(time) > AHEAD_S) return false;
    const map = segment.map ? JSON.stringify(segment.map) : "";
    if (map && map !== this.#map) await this.#append(await this.#get(segment.map));
    this.#map = map;
    const data = await this.#get(segment);
    if (segment.number !== this.#next) return true; // sought meanwhile
    await this.#forget(time);
    const before = this.#ranges();
    await this.#append(data);
    this.#next = segment.number + 1;
    const late = this.#ahead(time) <= 0 && this.#ranges().some(([start]) => start > time && start < time + segment.duration);
    if (late && segment.number > this.list.segments[0].number) this.#next = segment.number - 1; // durations were rounded
    if (this.#firstSeen || segment.jump) this.#anchor(segment, before);
    return true;
  }

  /** Reads a live list again. */
  async refresh() {
    if (this.list.ended) return;
    this.list = parsePlaylist(new TextDecoder().decode(await this.#get({ url: this.#url, range: null })), this.#url);
    const first = this.list.segments[0]?.number ?? 0;
    if (this.#next < first) this.#next = first; // it has left the list
  }

  #segment() {
    return this.list.segments[this.#next - (this.list.segments[0]?.number ?? 0)];
  }

  #ranges() {
    const { buffered } = this.buffer;
    return Array.from({ length: buffered.length }, (_, index) => [buffered.start(index), buffered.end(index)]);
  }

  /** Seconds buffered from `time` on; 0 when it is not. */
  #ahead(time) {
    const range = this.#ranges().find(([start, end]) => start - 0.1 <= time && time < end);
    return range ? range[1] - time : 0;
  }

  /** The first segment tells where the list lies on the media clock. */
  #anchor(segment, before) {
    const fresh = this.#ranges().find(([start]) => !before.some(([old]) => old === start));
    if (!fresh) return;
    this.#times.anchor(segment.number, fresh[0]);
    this.#firstSeen = false;
  }

  async #append(data) {
    for (let attempt = 0; ; attempt++) {
      try {
        this.buffer.appendBuffer(data);
        break;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || attempt > 0) throw error;
        await this.#forget(this.#video.currentTime, 5);
      }
    }
    await once(this.buffer, "updateend");
  }

  async #forget(time, keep = BEHIND_S) {
    const from = this.#ranges()[0]?.[0];
    if (from === undefined || from >= time - 1.5 * keep) return;
    this.buffer.remove(0, time - keep);
    await once(this.buffer, "updateend");
  }
}

/** Plays a playlist in a <video>. Events: `ready` (the first pictures are there), `error` (words in `words`). */
export class HlsPlayer extends EventTarget {
  /** "media" (Media Source Extensions), "native", or "" before `load`. */
  way = "";
  words = "";
  #video;
  #url;
  #headers;
  #feeds = [];
  #stop = new AbortController();

  /** @param {HTMLVideoElement} video @param {string} url @param {Record<string, string>} headers for addresses of this origin */
  constructor(video, url, headers = {}) {
    super();
    this.#video = video;
    this.#url = new URL(url, location.href).href;
    this.#headers = headers;
  }

  /** Media time at which a recording begins and ends; a live list's window. */
  get start() {
    return this.way === "native" ? 0 : Math.max(0, ...this.#feeds.map((feed) => feed.start));
  }

  get end() {
    return this.way === "native" ? this.#video.duration : Math.max(0, ...this.#feeds.map((feed) => feed.end));
  }

  /** @param {"media"|"native"|""} way what to use, where the browser can; "" chooses */
  async load(way = "") {
    try {
      if (way === "native" && this.#video.canPlayType(NATIVE_TYPE)) this.#playNative();
      else await this.#open();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#fail(error);
    }
  }

  close() {
    this.#stop.abort();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  async #open() {
    let url = this.#url;
    let list = await this.#playlist(url);
    let named = "";
    let sound = null;
    if ("variants" in list) {
      const height = this.#video.clientHeight * (globalThis.devicePixelRatio || 1);
      const bits = (navigator.connection?.downlink ?? 8) * 1e6;
      const chosen = chooseVariant(list.variants, height, bits);
      sound = list.audio.get(chosen.audio) ?? null;
      named = sound ? "" : chosen.codecs; // with sound apart they name both, and a buffer takes one
      url = chosen.url;
      list = await this.#playlist(url);
    }
    this.#feeds = [new Feed(url, list, this.#video, (part) => this.#get(part))];
    if (sound) this.#feeds.push(new Feed(sound, await this.#playlist(sound), this.#video, (part) => this.#get(part)));
    const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource; // the latter is what iPhones have
    const types = Source ? await Promise.all(this.#feeds.map((feed, index) => feed.type(index === 0 ? named : ""))) : [];
    if (types.length === 0 || !types.every((type) => Source.isTypeSupported(type))) {
      if (!this.#video.canPlayType(NATIVE_TYPE)) throw new Error(`This browser cannot play ${types[0] ?? "HLS"}; offer it fragmented MP4.`);
      return this.#playNative();
    }
    this.way = "media";
    const source = new Source();
    if (Source !== globalThis.MediaSource) this.#video.disableRemotePlayback = true;
    this.#video.src = URL.createObjectURL(source);
    await once(source, "sourceopen");
    this.#feeds.forEach((feed, index) => { feed.buffer = source.addSourceBuffer(types[index]); });
    this.#video.addEventListener("seeking", () => this.#feeds.forEach((feed) => feed.seek(this.#video.currentTime)), { signal: this.#stop.signal });
    await this.#begin();
    await Promise.all([...this.#feeds.map((feed) => this.#keepFed(feed, source)), ...this.#feeds.map((feed) => this.#keepFresh(feed))]);
  }

  /** The first segment: with it the picture can be put where the list begins, which is seldom 0. */
  async #begin() {
    await Promise.all(this.#feeds.map((feed) => feed.step()));
    const first = Math.max(...this.#feeds.map((feed) => feed.buffer.buffered.start(0)));
    if (this.#video.currentTime < first) this.#video.currentTime = first;
    this.dispatchEvent(new Event("ready"));
  }

  async #keepFed(feed, source) {
    while (!this.#stop.signal.aborted) {
      if (await feed.step()) continue;
      const still = this.#feeds.every((one) => one.done && !one.buffer.updating);
      if (still && source.readyState === "open") source.endOfStream(); // appending opens it again
      await wait(200);
    }
  }

  async #keepFresh(feed) {
    while (!this.#stop.signal.aborted && !feed.list.ended) {
      const before = feed.list.segments.at(-1)?.number;
      await wait(feed.list.target * 1000);
      await feed.refresh();
      if (feed.list.segments.at(-1)?.number === before) await wait(feed.list.target * 500); // RFC 8216, 6.3.4
    }
  }

  #playNative() {
    this.way = "native";
    this.#video.src = this.#url;
    this.#video.addEventListener("error", () => this.#fail(new Error("The video cannot be played.")), { signal: this.#stop.signal });
    this.#video.addEventListener("loadeddata", () => this.dispatchEvent(new Event("ready")), { once: true, signal: this.#stop.signal });
  }

  async #playlist(url) {
    return parsePlaylist(new TextDecoder().decode(await this.#get({ url, range: null })), url);
  }

  /** @returns {Promise<ArrayBuffer>} */
  async #get({ url, range }) {
    const own = new URL(url).origin === location.origin ? this.#headers : {};
    const headers = range ? { ...own, Range: `bytes=${range[0]}-${range[0] + range[1] - 1}` } : own;
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await fetch(url, { headers, signal: this.#stop.signal });
        if (answer.ok) {
          const data = await answer.arrayBuffer();
          return range && answer.status === 200 ? data.slice(range[0], range[0] + range[1]) : data; // all of it came
        }
        if (answer.status < 500) throw Object.assign(new Error(`The video cannot be fetched (${answer.status}).`), { final: true });
        throw new Error(`The server of the video fails (${answer.status}).`);
      } catch (error) {
        if (error.final || this.#stop.signal.aborted || attempt >= RETRIES) throw error;
        await wait(300 * 2 ** attempt);
      }
    }
  }

  #fail(error) {
    this.words = error.message;
    this.dispatchEvent(new Event("error"));
  }
}
