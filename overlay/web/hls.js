/**
 * HLS (RFC 8216) in a few hundred lines, for recordings and live lists, so that hotspots can be keyed by the media's own
 * timestamps: segments go into Media Source Extensions as they are, nothing is shifted, and a frame's `mediaTime` is the
 * timestamp that stands in the segment (measured in Chromium: fragmented MP4 and MPEG-TS, with B-frames, all frames).
 *
 * Where a browser cannot take the segments that way (MPEG-TS in most), its own HLS player is used (`way` is "native"). That
 * one may count from 0: compare the first frame's `mediaTime` with the track's first time once, and tell the element
 * (`track-offset`).
 *
 * Timestamps that start anew (a discontinuity, an encoder that was started again) cannot stay as they are: the player's clock
 * goes on, and such a *run* is put behind what came before it. `Runs` knows by how much, so that a frame's own timestamp can
 * still be told.
 *
 * A live list is joined at its hold-back from the end. Who falls out of its window, or far behind, is put there again.
 *
 * Two parts: the core reads playlists and boxes, without a document; `HlsPlayer` holds the buffers and fetches.
 * Left out: encryption (refused in words), subtitles, partial segments, changing quality while playing.
 */

const AHEAD_S = 20; // fetched beyond the picture on screen
const BEHIND_S = 30; // kept before it
const HOLD_BACK_TARGETS = 3; // a live list is joined so many target durations from its end (RFC 8216, 6.3.3)
const LATE_TARGETS = 3; // so many more behind, and the picture is put there again
const AWAY_S = 1_000_000; // where a run's first segment is put to see where its timestamps begin
const STARTED_ANEW = 1_000_000; // added to the number of runs each time a whole list starts anew
const LIST_SHORTER = 3; // an older copy of a list may end so many segments earlier; one that ends before that is another
const RETRIES = 4;
const NATIVE_TYPE = "application/vnd.apple.mpegurl";

// ---- core ------------------------------------------------------------------------------------------------------------

/** @typedef {{url: string, range: [number, number]|null}} Part  range: first byte, and bytes */
/** @typedef {Part & {number: number, duration: number, map: Part|null, run: number}} Segment  run: number of discontinuities before it */
/** @typedef {{url: string, bandwidth: number, height: number, codecs: string, audio: string}} Variant */
/**
 * @typedef {{segments: Segment[], ended: boolean, target: number, holdBack: number}} MediaList  seconds
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
  const list = { segments: [], ended: false, target: 6, holdBack: 0 };
  let number = 0;
  let duration = 0;
  let range = null;
  let map = null;
  let run = 0;
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
      list.segments.push({ url, range: range && bytes(range, url), number: number++, duration, map, run });
      [duration, range] = [0, null];
    } else if (tag === "#EXT-X-MEDIA-SEQUENCE") number = Number(rest) || 0;
    else if (tag === "#EXT-X-TARGETDURATION") list.target = Number(rest) || 6;
    else if (tag === "#EXTINF") duration = Number.parseFloat(rest) || 0;
    else if (tag === "#EXT-X-BYTERANGE") range = rest;
    else if (tag === "#EXT-X-DISCONTINUITY") run++;
    else if (tag === "#EXT-X-DISCONTINUITY-SEQUENCE") run = Number(rest) || 0;
    else if (tag === "#EXT-X-SERVER-CONTROL") list.holdBack = Number(parseAttributes(rest)["HOLD-BACK"]) || 0;
    else if (tag === "#EXT-X-ENDLIST") list.ended = true;
    else if (tag === "#EXT-X-MAP") {
      const { URI = "", BYTERANGE } = parseAttributes(rest);
      const url = new URL(URI, base).href;
      map = { url, range: BYTERANGE ? bytes(BYTERANGE, url) : null };
    } else if (tag === "#EXT-X-KEY" && parseAttributes(rest).METHOD !== "NONE") throw new Error("This video is encrypted, which this page cannot play.");
  }
  list.holdBack ||= HOLD_BACK_TARGETS * list.target;
  return list;
}

/** Number of the segment to begin with: the first one of a recording, in a live list the last one that leaves its hold-back. */
export function firstNumber(/** @type {MediaList} */ { segments, ended, holdBack }) {
  let index = ended ? 0 : segments.length;
  for (let left = 0; index > 0 && left < holdBack - 0.01; index--) left += segments[index - 1].duration;
  return segments[index]?.number ?? 0;
}

/** Whether a list, read again, is not the same one further on: an encoder was started anew and counts from the beginning. */
export function startedAnew(/** @type {MediaList} */ list, next) {
  const last = list.segments.at(-1)?.number;
  return last !== undefined && last + 1 < next - LIST_SHORTER;
}

/**
 * Runs of timestamps on the player's clock. All tracks of a run are shifted by the same, whole milliseconds, so that a frame's
 * own timestamp can be told to the tick.
 */
export class Runs {
  /** @type {{number: number, from: number, shift: number}[]} by `from`: media time at which the run begins on the player's clock */
  #runs = [];

  get known() {
    return this.#runs.length > 0;
  }

  /** A run whose own timestamps begin at `first` is put where the player's clock has `at`. @returns {number} its shift, seconds */
  place(number, first, at) {
    const shift = Math.ceil((at - first) * 1000 - 1e-6) / 1000 || 0;
    this.#runs.push({ number, from: first + shift, shift });
    this.#runs.sort((a, b) => a.from - b.from);
    return shift;
  }

  /** @returns {number|undefined} what is added to a run's own timestamps */
  shiftOf(number) {
    return this.#runs.find((run) => run.number === number)?.shift;
  }

  /** @returns {{run: number, time: number}} the run that is on screen at a media time, and the media's own timestamp, seconds */
  at(mediaTime) {
    const here = this.#runs.findLast((run) => run.from <= mediaTime + 0.001) ?? this.#runs[0];
    return { run: here?.number ?? 0, time: mediaTime - (here?.shift ?? 0) };
  }
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

/** The first range that begins after a time. */
const next = (ranges, time) => ranges.find(([start]) => start > time);

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
  #runs;
  #leads;
  #run = -1;
  #anew = 0;
  #renewedMs = 0;

  /** @param {Runs} runs of all feeds @param {boolean} leads places them; others wait for it */
  constructor(url, list, video, get, runs, leads) {
    this.#url = url;
    this.list = list;
    this.#video = video;
    this.#get = get;
    this.#runs = runs;
    this.#leads = leads;
    this.#next = firstNumber(list);
    this.#renewedMs = performance.now();
  }

  /** Media time at which the list begins. */
  get start() {
    return this.#times.startOf(this.list.segments, 0);
  }

  get end() {
    return this.#times.startOf(this.list.segments, this.list.segments.length);
  }

  /** Seconds of `time` behind the newest that there is, as far as one can tell without a common clock. */
  behind(time) {
    const since = this.list.ended ? 0 : (performance.now() - this.#renewedMs) / 1000;
    return Math.max(0, this.end + Math.min(since, 2 * this.list.target) - time);
  }

  /** Since when the list has had nothing new, milliseconds. */
  get quietMs() {
    return performance.now() - this.#renewedMs;
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
    const run = segment.run + this.#anew;
    if (!this.#leads && this.#runs.shiftOf(run) === undefined) return false; // the other feed has to come there first
    const map = segment.map ? JSON.stringify([segment.map, this.#anew]) : "";
    if (map && map !== this.#map) await this.#append(await this.#get(segment.map));
    this.#map = map;
    const data = await this.#get(segment);
    if (segment.number !== this.#next) return true; // sought meanwhile
    await this.#forget(time);
    await this.#put(run, segment, data);
    this.#next = segment.number + 1;
    const late = this.#ahead(time) <= 0 && this.#ranges().some(([start]) => start > time && start < time + segment.duration);
    if (late && segment.number > this.list.segments[0].number) this.#next = segment.number - 1; // durations were rounded
    return true;
  }

  /** Appends a segment; the first one of a run comes behind what was there before it. */
  async #put(run, segment, data) {
    const due = this.#times.startOf(this.list.segments, segment.number - this.list.segments[0].number);
    const at = this.#endNear(due);
    if (run !== this.#run && this.#runs.known) {
      this.buffer.timestampOffset = this.#runs.shiftOf(run) ?? this.#runs.place(run, await this.#firstTime(data), at);
    }
    const before = this.#ranges();
    await this.#append(data);
    const fresh = this.#ranges().find(([start]) => !before.some(([old]) => old === start));
    if (!this.#runs.known && fresh) this.#runs.place(run, fresh[0], fresh[0]); // the first run stays where it is
    this.#times.anchor(segment.number, fresh?.[0] ?? at);
    if (this.#runs.known) this.#run = run;
  }

  /** Where a segment's own timestamps begin: it is put far out of the way, and taken away again. */
  async #firstTime(data) {
    this.buffer.timestampOffset = AWAY_S;
    await this.#append(data);
    const away = this.#ranges().find(([start]) => start > AWAY_S / 2);
    if (!away) throw new Error("The video cannot be put in order after a break.");
    this.buffer.remove(AWAY_S / 2, Infinity);
    await once(this.buffer, "updateend");
    return away[0] - AWAY_S;
  }

  /** Where buffered media ends, next to where a segment should begin. */
  #endNear(time) {
    const ends = this.#ranges().map(([, end]) => end).filter((end) => Math.abs(end - time) < this.list.target);
    return ends.sort((a, b) => Math.abs(a - time) - Math.abs(b - time))[0] ?? time;
  }

  /** Reads a live list again. */
  async refresh() {
    if (this.list.ended) return;
    const before = this.list;
    const list = parsePlaylist(new TextDecoder().decode(await this.#get({ url: this.#url, range: null })), this.#url);
    if (list.segments.at(-1)?.number !== before.segments.at(-1)?.number) this.#renewedMs = performance.now();
    if (startedAnew(list, this.#next)) {
      const at = this.end;
      this.#anew += STARTED_ANEW;
      this.#next = firstNumber(list);
      this.#times.anchor(this.#next, at);
    }
    this.list = list;
    const first = list.segments[0]?.number ?? 0;
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
  #runs = new Runs();
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

  /** Whether it is a live list. */
  get live() {
    return this.#feeds.length > 0 && !this.#feeds[0].list.ended;
  }

  /** Seconds that the picture is behind the newest that the list has; null where that is not known. */
  get behind() {
    return this.live ? this.#feeds[0].behind(this.#video.currentTime) : null;
  }

  /** Since when a live list has had nothing new, milliseconds. */
  get quietMs() {
    return this.live ? this.#feeds[0].quietMs : 0;
  }

  /** Seconds that the list itself says are between two new segments, at most. */
  get target() {
    return this.#feeds[0]?.list.target ?? 0;
  }

  /** The media's own timestamp of the frame at `mediaTime`, and the run it belongs to. @returns {{run: number, time: number}} */
  ownTime(mediaTime) {
    return this.#runs.at(mediaTime);
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
    const get = (part) => this.#get(part);
    this.#feeds = [new Feed(url, list, this.#video, get, this.#runs, true)];
    if (sound) this.#feeds.push(new Feed(sound, await this.#playlist(sound), this.#video, get, this.#runs, false));
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
    const loops = this.#feeds.flatMap((feed) => [this.#keepFed(feed, source), this.#keepFresh(feed)]);
    await Promise.all([...loops, this.#keepUp()]);
  }

  /** The first segment: with it the picture can be put where the list begins, which is seldom 0. */
  async #begin() {
    for (const feed of this.#feeds) await feed.step();
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

  /**
   * A live picture that has nothing more to show goes on where there is something, or once it is behind the list's end again as
   * it should be: at the very end it would be ahead of its hotspots. One that is far behind catches up.
   */
  async #keepUp() {
    const video = this.#video;
    let held = false;
    while (!this.#stop.signal.aborted && this.live) {
      await wait(250);
      const { list, end } = this.#feeds[0];
      if ((video.paused && !held) || video.seeking) continue;
      const at = video.currentTime;
      const ranges = Array.from({ length: video.buffered.length }, (_, index) => [video.buffered.start(index), video.buffered.end(index)]);
      const dry = !ranges.some(([start, last]) => start <= at && at < last - 0.05);
      const ahead = (ranges.find(([start, last]) => start <= at && at <= last)?.[1] ?? at) - at;
      if (held && ahead < list.holdBack - list.target && !next(ranges, at)) continue;
      if (held) video.play().catch(() => {});
      held = false;
      if (this.behind > list.holdBack + LATE_TARGETS * list.target) video.currentTime = Math.max(this.start, end - list.holdBack);
      else if (dry && next(ranges, at)) video.currentTime = next(ranges, at)[0] + 0.001;
      else if (dry && at < this.start) video.currentTime = Math.max(this.start, end - list.holdBack);
      else if (dry) {
        video.pause();
        held = true;
      }
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
