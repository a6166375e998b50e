/** Player of a CDN's live playlist: one `<video>`, kept alive, with the states of `WhepPlayer` (./whep.js). */

import { HlsPlayer } from "./hls.js";
import { backoffMs } from "./vitrine-overlay.js";

/** @typedef {import("./whep.js").PlayerState} PlayerState */

const STALL_MS = 2500; // no new frame for so long: say so
const RENEW_MS = 20_000; // ... and for so long: begin again
const QUIET_TARGETS = 5; // a list without a new segment for so many target durations: nobody is live
const WAIT_MS = 3000; // and so often it is looked at again

/** What somebody is told whose playlist cannot be played, and whether that is a matter of waiting. */
export function playlistTrouble(/** @type {string} */ words, address) {
  const host = new URL(address).host;
  if (/\(40[34]|410\)/.test(words)) return { state: "waiting", words: "The video is not on the air yet." };
  if (/holds no video yet/.test(words)) return { state: "waiting", words: "The video is about to begin." };
  if (/failed to fetch|networkerror|load failed/i.test(words)) {
    return { state: "retrying", words: `The video of ${host} cannot be loaded. It may be down, or not meant for this page.` };
  }
  if (/encrypted|cannot play/.test(words)) return { state: "refused", words };
  return { state: "retrying", words };
}

/**
 * Plays the playlist at `url` into `video`. Fires "state" (detail: {state, words}) on every change, "behind" each second while it
 * plays, and "begin" when it is joined (again).
 */
export class PlaylistPlayer extends EventTarget {
  /** @type {PlayerState} */
  #state = "idle";
  #words = "";
  #video;
  #url;
  /** @type {HlsPlayer|null} */
  #hls = null;
  #timer = 0;
  #watch = 0;
  #attempt = 0;
  #frames = 0;
  #lastFrameMs = 0;

  /** @param {HTMLVideoElement} video @param {string} url */
  constructor(video, url) {
    super();
    this.#video = video;
    this.#url = new URL(url, location.href).href;
    window.addEventListener("pagehide", () => this.stop());
    window.addEventListener("pageshow", (event) => event.persisted && this.start());
    window.addEventListener("online", () => this.wake());
  }

  get state() { return this.#state; }
  get words() { return this.#words; }
  /** Seconds between the newest that the playlist has and the picture; null while that is not known. */
  get behind() { return this.#state === "playing" ? this.#hls?.behind ?? null : null; }
  /** Whether the player tells which frame it shows: hotspots can be put on it. */
  get exact() { return this.#hls?.way !== "native"; }

  /** For `VitrineOverlay.mediaClock`; to be set again at each "begin". Null where the player does not tell which frame it shows. */
  mediaClock = (/** @type {number} */ mediaTime) => (this.#hls?.way === "media" ? this.#hls.ownTime(mediaTime) : null);

  start() {
    if (this.#state !== "idle" && this.#state !== "refused") return;
    this.#attempt = 0;
    this.#begin();
  }

  /** Does not wait for the next retry. */
  wake() {
    if (this.#state === "waiting" || this.#state === "retrying") this.#begin();
  }

  stop() {
    this.#drop();
    this.#set("idle", "");
  }

  #begin() {
    this.#drop();
    this.#set("connecting", "Loading the video.");
    this.dispatchEvent(new Event("begin"));
    const hls = new HlsPlayer(this.#video, this.#url);
    this.#hls = hls;
    this.#frames = 0;
    this.#lastFrameMs = performance.now();
    hls.addEventListener("ready", () => this.#video.play().catch(() => {})); // without a gesture: only when muted
    hls.addEventListener("error", () => hls === this.#hls && this.#fail(hls.words));
    this.#watch = setInterval(() => this.#look(), 1000);
    hls.load();
  }

  #drop() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#hls?.close();
    this.#hls = null;
  }

  #fail(text) {
    const { state, words } = playlistTrouble(text, this.#url);
    this.#again(state, words);
  }

  #again(/** @type {PlayerState} */ state, words) {
    this.#drop();
    this.#set(state, words);
    if (state === "refused") return;
    const delay = state === "waiting" ? WAIT_MS * (0.7 + 0.6 * Math.random()) : backoffMs(this.#attempt++, Math.random());
    this.#timer = setTimeout(() => this.#begin(), delay);
  }

  #look() {
    const now = performance.now();
    const hls = this.#hls;
    const { totalVideoFrames } = this.#video.getVideoPlaybackQuality();
    const moved = totalVideoFrames > this.#frames && this.#video.readyState >= 2;
    this.#frames = totalVideoFrames;
    if (moved) {
      this.#lastFrameMs = now;
      this.#attempt = 0;
      this.#set("playing", "");
      this.dispatchEvent(new Event("behind"));
      return;
    }
    const stillMs = now - this.#lastFrameMs;
    const over = this.#video.ended || hls.quietMs > QUIET_TARGETS * 1000 * hls.target;
    if (stillMs > STALL_MS && over && hls.target > 0) this.#again("waiting", "The video is not on the air.");
    else if (stillMs > RENEW_MS) this.#again("retrying", "The video stopped.");
    else if (stillMs > STALL_MS && this.#state === "playing") this.#set("stalled", "The video stopped.");
  }

  #set(state, words) {
    if (state === this.#state && words === this.#words) return;
    this.#state = state;
    this.#words = words;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, words } }));
  }
}
