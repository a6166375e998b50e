/**
 * The page of a recorded video: the picture with its hotspots, chapters on the time line and as a list, every product with the
 * moments it is shown at. Everything it needs lies beside it (docs/replay.md), so any web server can serve it.
 */

import "./vitrine-overlay.js";
import { fullScreenButton, hotspotButtons, soundButton } from "./controls.js";
import { HlsPlayer } from "./hls.js";
import { byId, count, h, iconAddress, setText, streamName, takeKey } from "./page.js";
import { CardSheet, isPaid, ProductList } from "./products.js";
import { loadTrack, parseCues } from "./track.js";
import { withKey } from "./webrtc.js";

const STEP_S = 5;
const INTO_S = 0.001; // times are rounded down to milliseconds: this much later the frame meant is on screen
const OTHER_CLOCK_MS = 500;
const FIRST_FRAME_MS = 1000;
const ASK_AGAIN_MS = 60_000; // prices and stock, while somebody looks

const begins = Number(new URLSearchParams(location.hash.slice(1)).get("t")) || 0;
const key = takeKey(`watch:${streamName()}`);
const video = /** @type {HTMLVideoElement} */ (byId("video"));
const overlay = /** @type {import("./vitrine-overlay.js").VitrineOverlay} */ (byId("overlay"));
const seek = /** @type {HTMLInputElement} */ (byId("seek"));
const sheet = new CardSheet(/** @type {HTMLDialogElement} */ (byId("card")));
const list = new ProductList(byId("products"), (pid) => overlay.openProduct(pid), moments);
/** @type {HlsPlayer|null} */
let hls = null;
/** @type {import("./track.js").RecordedTrack|null} */
let track = null;

// ---- time

/** Media time at which the video begins and ends, seconds. */
const start = () => hls?.start ?? Math.max(0, video.seekable.length ? video.seekable.start(0) : 0);
const end = () => (hls?.way === "media" ? hls.end : video.duration) || 0;

/** "2:14", "1:02:14". */
function words(seconds) {
  const whole = Math.max(0, Math.floor(seconds + INTO_S));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours, minutes, rest] = parts.map((part) => String(part).padStart(2, "0"));
  return parts[0] > 0 ? `${parts[0]}:${minutes}:${rest}` : `${parts[1]}:${rest}`;
}

/** A moment of the track on the player's clock. */
const onPlayer = (ms) => (ms + Number(overlay.getAttribute("track-offset") ?? 0)) / 1000 + INTO_S;

function goTo(seconds) {
  video.currentTime = Math.min(Math.max(seconds, start()), end());
  showTime();
}

function showTime() {
  const [from, to] = [start(), end()];
  const at = Math.max(0, video.currentTime - from);
  Object.assign(seek, { min: "0", max: String(to - from) });
  if (!seek.matches(":active")) seek.value = String(at);
  const told = `${words(at)} of ${words(to - from)}`;
  seek.setAttribute("aria-valuetext", told);
  byId("scrub").style.setProperty("--at", String(to > from ? at / (to - from) : 0));
  setText(byId("clock"), `${words(at)} / ${words(to - from)}`);
}

// ---- chapters and products

function jump(ms, name) {
  const told = words((ms - (track?.startMs ?? 0)) / 1000);
  return h("button.moment", { type: "button", "aria-label": `${name}, ${told}`, onclick: () => goTo(onPlayer(ms)) }, told);
}

/** When a product is in the picture: one button for each time. */
function moments(card) {
  const times = track?.shown.get(card.pid) ?? [];
  return [h("span.moments", {}, ...times.slice(0, 12).map(({ startMs }) => jump(startMs, `${card.title} is shown`)))];
}

function showChapters(chapters) {
  byId("contents").hidden = chapters.length === 0;
  byId("chapters").replaceChildren(...chapters.map(({ startMs, text }) =>
    h("li", { "data-start": String(startMs) },
      h("button.chapter", { type: "button", onclick: () => goTo(onPlayer(startMs)) },
        h("span.at", {}, words((startMs - track.startMs) / 1000)), h("span.name", {}, text)))));
  const whole = track.endMs - track.startMs;
  byId("marks").replaceChildren(...chapters.map(({ startMs }) => {
    const mark = h("span.mark");
    mark.style.left = `${(100 * (startMs - track.startMs)) / whole}%`;
    return mark;
  }));
}

function markChapter() {
  const now = video.currentTime;
  let current = null;
  for (const item of byId("chapters").children) {
    if (onPlayer(Number(item.dataset.start)) <= now + 2 * INTO_S) current = item;
  }
  for (const item of byId("chapters").children) {
    if (item === current) item.firstChild.setAttribute("aria-current", "true");
    else item.firstChild.removeAttribute("aria-current");
  }
}

function showProducts() {
  const { products } = overlay;
  list.show(products);
  setText(byId("shelf-count"), products.length > 0 ? count(products.length, "product") : "");
  byId("empty").hidden = products.length > 0;
  byId("paid-note").hidden = !products.some(isPaid);
}

/** Prices and stock as this server has them now, where one does; else it is said from when they are. */
async function freshen(about) {
  let changed = false, fresh = false;
  try {
    if (about.cards) {
      const { cards } = await (await beside(about.cards)).json();
      changed = track.update(new Map(cards.map((card) => [card.id, card])));
      fresh = true;
    }
  } catch {
    // what the recording came with is still there
  }
  const date = new Date(about.as_of_ms || NaN);
  const when = Number.isNaN(date.getTime()) ? "when this video was prepared" : `on ${date.toLocaleDateString("en", { dateStyle: "long" })}`;
  setText(byId("as-of"), fresh || track.cards.length === 0 ? "" : `Prices and stock as they were ${when}.`);
  return changed;
}

overlay.addEventListener("vitrine-products", showProducts);
overlay.addEventListener("vitrine-visible", ({ detail }) => list.mark(detail.pids));
overlay.addEventListener("vitrine-card", ({ detail: { hit, state, card } }) => {
  if (hit && card) sheet.show(card, state);
});

// ---- controls

function toggle() {
  if (seek.disabled) return;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
}

function showPlaying() {
  byId("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  byId("play").querySelector("use").setAttribute("href", iconAddress(video.paused ? "play" : "pause"));
  byId("begin").hidden = !video.paused || video.currentTime > start() + STEP_S || seek.disabled;
}

/** One frame on or back. The frame on screen is known by its own time, which `currentTime` only lies within. */
function stepFrame(by) {
  video.pause();
  const frame = 1 / (Number(overlay.dataset.fps) || 30);
  goTo(overlay.shown.frame / 90_000 + (by + 0.5) * frame);
}

const KEYS = {
  " ": toggle, k: toggle, ArrowLeft: () => goTo(video.currentTime - STEP_S), ArrowRight: () => goTo(video.currentTime + STEP_S),
  ",": () => stepFrame(-1), ".": () => stepFrame(1), Home: () => goTo(start()), m: () => byId("sound").click(),
};

document.addEventListener("keydown", (event) => {
  const busy = event.composedPath()[0].closest?.("button, a, select, dialog[open]");
  if (event.ctrlKey || event.metaKey || event.altKey || seek.disabled || sheet.open) return;
  if (!KEYS[event.key] || (busy && event.key === " ")) return;
  event.preventDefault();
  KEYS[event.key]();
});

byId("play").addEventListener("click", toggle);
byId("begin").addEventListener("click", toggle);
video.addEventListener("click", toggle);
seek.addEventListener("input", () => goTo(start() + Number(seek.value)));
for (const name of ["timeupdate", "seeked", "durationchange", "progress"]) {
  video.addEventListener(name, () => {
    showTime();
    markChapter();
    showPlaying();
  });
}
for (const name of ["play", "pause", "loadeddata", "ended"]) video.addEventListener(name, showPlaying);
video.addEventListener("error", () => say(`This browser cannot play the video (${video.error?.message || "unknown format"}).`));
soundButton(video);
hotspotButtons(overlay);
fullScreenButton(byId("frame"), byId("card"));

// ---- go

function say(text) {
  setText(byId("veil-words"), text);
  byId("veil").classList.toggle("shown", text !== "");
}

/** What lies beside the page; the key goes with it. */
async function beside(name) {
  const answer = await fetch(name, { headers: withKey(key) });
  if (answer.ok) return answer;
  if (answer.status === 401 || answer.status === 403) throw new Error("This link does not open the video. Ask for a new one.");
  throw new Error(answer.status === 404 ? "There is no such video." : `The video cannot be loaded (${answer.status}).`);
}

/**
 * A player of the browser's own may count from 0 where the file does not. The first frame it shows, before anybody can play
 * or seek, is the first one of the track: what lies in between is the one constant.
 */
async function calibrate(/** @type {Promise<number|null>} */ first) {
  const mediaTime = await first;
  if (mediaTime === null || hls?.way === "media") return; // ours shifts nothing
  const off = mediaTime * 1000 - track.startMs;
  if (Math.abs(off) > (hls ? 0 : OTHER_CLOCK_MS)) overlay.setAttribute("track-offset", String(off));
}

/** Media time of the first frame that is shown, null where none is (a tab in the background). */
function firstFrame() {
  return new Promise((done) => {
    video.requestVideoFrameCallback?.((_, { mediaTime }) => done(mediaTime));
    video.addEventListener("loadeddata", () => setTimeout(() => done(null), FIRST_FRAME_MS), { once: true });
  });
}

/** An address for elements, which send no header of ours: on this server the key goes into it. */
function withToken(address) {
  const url = new URL(address, location.href);
  if (key && url.origin === location.origin) url.searchParams.set("token", key);
  return url.href;
}

function playList(address) {
  hls = new HlsPlayer(video, address, withKey(key));
  hls.addEventListener("error", () => say(hls.words));
  hls.load(new URLSearchParams(location.search).get("player") ?? "");
}

/** The first picture is there: the controls come alive. */
function ready() {
  say("");
  seek.disabled = byId("play").disabled = false;
  if (begins > 0) goTo(onPlayer(begins * 1000 + track.startMs));
  showTime();
  markChapter();
  showPlaying();
}

async function open() {
  say("Loading the video.");
  const about = await (await beside("replay.json")).json();
  document.title = `${about.title} – Vitrine`;
  setText(byId("name"), about.title);
  overlay.dataset.fps = String(about.fps || 30);
  const address = new URL(about.track, location.href);
  track = await loadTrack(address, { headers: withKey(key) });
  for (const card of track.cards) if (card.image) card.image = withToken(card.image);
  await freshen(about);
  overlay.track = track;
  setInterval(async () => {
    if (about.cards && !document.hidden && (await freshen(about))) overlay.track = track;
  }, ASK_AGAIN_MS);
  showChapters(parseCues(await (await beside(about.chapters)).text()));
  const first = firstFrame();
  const loaded = new Promise((done) => video.addEventListener("loadeddata", done, { once: true }));
  if (about.kind === "hls") playList(about.video);
  else video.src = withToken(about.video);
  await loaded;
  await calibrate(first);
  ready();
}

open().catch((error) => say(error.message));
