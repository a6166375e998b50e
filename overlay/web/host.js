/** The host's page: go live, see what viewers see, decide which product is pinned and which is hidden. */

import { parseCard } from "./vitrine-overlay.js";
import { byId, complain, count, getJson, h, icon, keepKey, overlaySocket, poll, postJson, setText, streamName, takeKey } from "./page.js";
import { EnrolPanel } from "./enroll.js";
import { CardSheet, ProductList } from "./products.js";
import { SeenPanel } from "./seen.js";
import { WhepPlayer } from "./whep.js";
import { camera, file, mediaProblem, screen, WhipPublisher } from "./whip.js";

const stream = streamName();
const path = encodeURIComponent(stream);
let key = takeKey(`host:${stream}`);
let source = null; // the MediaStream chosen
let products = [];
let changedMs = -Infinity; // when publishing from this page last began or ended
let elsewhere = false; // the show is live, but not from this page: from OBS, say, or another device

const preview = /** @type {HTMLVideoElement} */ (byId("preview"));
const returned = /** @type {HTMLVideoElement} */ (byId("return"));
const overlay = /** @type {import("./vitrine-overlay.js").VitrineOverlay} */ (byId("overlay"));
const keyInput = /** @type {HTMLInputElement} */ (byId("key"));
const publisher = new WhipPublisher(`/whip/${path}`);
const player = new WhepPlayer(returned, `/whep/${path}`, key);
const sheet = new CardSheet(/** @type {HTMLDialogElement} */ (byId("card")));
const list = new ProductList(byId("products"), (pid) => {
  const card = products.find((known) => known.pid === pid);
  if (card) sheet.show(card);
}, switches);

const desk = { path: `/api/streams/${path}`, key: () => key, say, askForKey };
const seen = new SeenPanel(desk);
const enrol = new EnrolPanel(desk);
seen.onTaught = () => enrol.showTaught();

// ---- products

/** Pin and hide buttons of one row. */
function switches(card) {
  const make = (kind, on, name, words) => h("button.quiet.square.round", {
    type: "button", "data-focus": kind, "aria-pressed": String(on), title: words, "aria-label": `${words}: ${card.title || card.id}`,
    onclick: () => change(card, kind, !on),
  }, icon(name));
  return [
    make("pin", card.pinned, "pin", card.pinned ? "Unpin" : "Pin for viewers"),
    make("hide", card.hidden, card.hidden ? "eye-off" : "eye", card.hidden ? "Show its hotspots again" : "Hide its hotspots"),
  ];
}

async function change(card, kind, on) {
  try {
    await postJson(`${desk.path}/${kind}`, { product_id: card.id, on }, key);
    say("");
  } catch (error) {
    complain(desk, error);
  }
  await refresh();
}

let refreshing = false;

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const body = await getJson(desk.path, key);
    const has = (set, card) => Array.isArray(set) && set.includes(card.id);
    products = (Array.isArray(body.products) ? body.products : []).map(parseCard).filter((card) => card !== null)
      .map((card) => ({ ...card, pinned: has(body.pinned, card), hidden: has(body.hidden, card) }));
    showProducts();
    setText(byId("viewers"), body.live ? count(Number(body.viewers) || 0, "viewer") : "");
    setText(byId("studio-note"), "");
    noticeOthers(body.live === true);
    seen.live = enrol.live = body.live === true;
  } catch (error) {
    setText(byId("viewers"), "");
    setText(byId("studio-note"), error.status === 404 ? "This show is new; it begins when you go live." : error.message);
  } finally {
    refreshing = false;
  }
}

/** A show that comes from somewhere else is watched here all the same: this is where its hotspots are vetoed. */
function noticeOthers(live) {
  const idle = (publisher.state === "idle" || publisher.state === "refused") && performance.now() - changedMs > 3000;
  if (elsewhere === (live && idle)) return;
  elsewhere = live && idle;
  if (elsewhere) {
    player.start();
    player.wake();
  } else if (idle) {
    player.stop();
  }
  show();
}

function showProducts() {
  list.show(products);
  list.mark(overlay.visiblePids);
  seen.products = enrol.products = products;
  setText(byId("shelf-count"), products.length > 0 ? count(products.length, "product") : "");
  byId("empty").hidden = products.length > 0;
  const all = products.length > 0 && products.every((card) => card.hidden);
  const suppress = byId("suppress");
  suppress.disabled = products.length === 0;
  suppress.setAttribute("aria-pressed", String(all));
  setText(suppress, all ? "Show hotspots again" : "Hide all hotspots");
}

byId("suppress").addEventListener("click", async (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  for (const card of products.filter((known) => known.hidden !== on)) await change(card, "hide", on);
});

// ---- picture

function say(words) {
  setText(byId("problem"), words);
}

async function choose(kind, open) {
  say("");
  try {
    const media = await open();
    for (const track of source?.getTracks() ?? []) track.stop();
    source = media;
    if (kind !== "file") {
      preview.removeAttribute("src");
      preview.srcObject = media;
    }
    preview.play().catch(() => {});
    for (const name of ["camera", "screen", "file"]) byId(`source-${name}`).setAttribute("aria-pressed", String(name === kind));
  } catch (error) {
    say(mediaProblem(error, window.isSecureContext || kind === "file"));
  }
  show();
}

byId("source-camera").addEventListener("click", () => choose("camera", async () => camera()));
byId("source-screen").addEventListener("click", () => choose("screen", async () => screen()));
byId("source-file").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  const [chosen] = event.target.files;
  event.target.value = "";
  if (chosen) choose("file", () => file(chosen, preview));
});

function askForKey() {
  byId("key-field").hidden = false;
  keyInput.focus();
}

byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  if (keyInput.value.trim() !== "") {
    key = keyInput.value.trim();
    keepKey(`host:${stream}`, key);
  }
  if (!source) return;
  say("");
  publisher.start(source, key);
});

byId("stop").addEventListener("click", () => {
  publisher.stop();
  source = null;
  preview.srcObject = null;
  preview.removeAttribute("src");
  preview.load();
  for (const name of ["camera", "screen", "file"]) byId(`source-${name}`).setAttribute("aria-pressed", "false");
  show();
});

const BADGES = {
  idle: ["Off air", "idle"], connecting: ["Connecting", "warn"], live: ["On air", "live"], weak: ["Interrupted", "warn"],
  retrying: ["Reconnecting", "warn"], refused: ["Refused", "bad"],
};

/** Everything that depends on the state of publishing and of the picture coming back. */
function show() {
  const state = publisher.state;
  const onAir = state === "live" || state === "weak" || state === "retrying" || state === "connecting";
  const [words, tone] = elsewhere && state === "idle" ? ["On air from elsewhere", "live"] : BADGES[state];
  byId("badge").dataset.tone = tone;
  setText(byId("badge-words"), words);
  if (publisher.words) say(publisher.words);
  const seeing = (state === "live" || (elsewhere && source === null)) && player.state === "playing";
  returned.hidden = !seeing;
  overlay.hidden = !seeing;
  preview.classList.toggle("aside", seeing);
  setText(byId("studio-title"), seeing ? "What your viewers see" : "Your picture");
  byId("stop").hidden = !onAir;
  byId("steps").hidden = onAir;
  byId("go-live").disabled = source === null;
  byId("key-field").hidden = key !== "" && state !== "refused";
  setText(byId("veil-words"), source ? "" : "Choose what to show: your camera, your screen, or a video file.");
  byId("veil").classList.toggle("shown", source === null && !seeing);
  if (!onAir) setText(byId("quality"), elsewhere ? "The picture comes from another device or program. Going live here takes the show over." : "");
}

/** The connection in words first, then in numbers. */
function quality({ fps, kbps, lostPercent, rttMs, width, height, codec, limited }) {
  const verdict = lostPercent > 5 ? `Poor: the network loses ${lostPercent.toFixed(0)} % of the picture.`
    : limited === "bandwidth" ? "Fair: the network limits the picture."
      : limited === "cpu" ? "Fair: this device is too slow for the full picture."
        : fps < 15 ? "Fair: few pictures a second." : "Good.";
  const numbers = [`${width} × ${height}`, `${Math.round(fps)} pictures/s`, `${(kbps / 1000).toFixed(1)} Mb/s`, codec,
    rttMs === null ? "" : `${Math.round(rttMs)} ms to the server`];
  return `Connection: ${verdict} ${numbers.filter(Boolean).join(", ")}`;
}

publisher.addEventListener("state", () => {
  changedMs = performance.now();
  if (publisher.state === "live") {
    say("");
    player.start();
    player.wake();
  }
  if (publisher.state === "idle") player.stop();
  else elsewhere = false;
  if (publisher.state === "refused") askForKey();
  show();
  refresh();
});
publisher.addEventListener("figures", ({ detail }) => setText(byId("quality"), quality(detail)));
player.addEventListener("state", show);
overlay.addEventListener("vitrine-state", ({ detail }) => { player.holdBackMs = detail.latencyMs; });
overlay.addEventListener("vitrine-products", refresh);
overlay.addEventListener("vitrine-visible", ({ detail }) => list.mark(detail.pids));
overlay.addEventListener("vitrine-card", ({ detail }) => detail.card && sheet.show(detail.card, detail.state));

// ---- go

document.title = `${stream} – host – Vitrine`;
setText(byId("name"), stream);
const share = byId("share");
share.href = new URL(`/watch/${path}`, location.href).href;
setText(share, share.href);
if (key) overlay.setAttribute("token", key);
overlay.setAttribute("src", overlaySocket(stream));
window.addEventListener("beforeunload", (event) => publisher.state === "live" && event.preventDefault());
if (!window.isSecureContext) say(mediaProblem(null, false));
show();
poll(refresh, 2000);
poll(() => seen.refresh(), 1000);
