/** The viewer's page: video, hotspots, the product list, and one card at a time. */

import "./vitrine-overlay.js";
import { fullScreenButton, hotspotButtons, soundButton } from "./controls.js";
import { byId, count, getJson, h, icon, overlaySocket, setText, streamName, takeKey } from "./page.js";
import { CardSheet, isPaid, picture, price, ProductList } from "./products.js";
import { PictureSearch } from "./search.js";
import { WhepPlayer } from "./whep.js";

const LOCAL_ANSWER_MS = 350; // a card the page knows anyway is not kept waiting for the server

const stream = streamName();
const key = takeKey(`watch:${stream}`);
const video = /** @type {HTMLVideoElement} */ (byId("video"));
const overlay = /** @type {import("./vitrine-overlay.js").VitrineOverlay} */ (byId("overlay"));
const frame = byId("frame");
const sheet = new CardSheet(/** @type {HTMLDialogElement} */ (byId("card")), (card) => search.cardActions(card));
const list = new ProductList(byId("products"), (pid) => overlay.openProduct(pid));
/** @type {WhepPlayer|import("./playlist.js").PlaylistPlayer|null} */
let player = null;
const search = new PictureSearch({
  overlay, stream, key,
  parts: {
    picture: byId("picture"), layer: byId("search"), controls: byId("controls"), tools: byId("search-controls"),
    seek: byId("seek"), look: byId("look"), shelf: byId("shelf"), results: byId("results"),
  },
  open: (card, state) => (card.pid > 0 ? overlay.openProduct(card.pid) : sheet.show(card, state)),
  close: () => sheet.close(),
});

/** Whether the picture comes from a playlist, seconds behind. */
let onPlaylist = false;

/** A playlist's picture moves. */
function onAir(talk) {
  const behind = player.behind;
  const badge = behind === null ? "Live" : `Live, ${Math.round(behind)} s behind`;
  const known = ["live", "away", "ended"].includes(talk);
  const note = !player.exact ? "This browser does not tell which frame it shows: products are in the list only." : known ? "" : "The video plays; hotspots are reconnecting.";
  return { badge, tone: known ? "live" : "warn", note };
}

/** What the person is told, by the overlay's state and the player's. `veil`: shown over the picture. */
function situation() {
  const talk = overlay.state;
  const { state: playing = "connecting", words = "" } = player ?? {};
  if (talk === "refused" || playing === "refused") {
    const badge = talk === "refused" || !onPlaylist ? "No access" : "No video";
    return { badge, tone: "bad", veil: words || overlay.diagnostics.reason };
  }
  if (onPlaylist && playing === "playing") return onAir(talk); // the picture is behind: the show is over when that is
  if (talk === "missing") return { badge: "Not found", tone: "idle", veil: `There is no show called "${stream}" yet. This page keeps looking.` };
  if (talk === "ended") return { badge: "Ended", tone: "idle", veil: "The host has left. The products stay here; the picture returns when the host does." };
  if (talk === "away" || playing === "waiting") return { badge: "Host away", tone: "idle", veil: overlay.diagnostics.reason ? "The host's connection broke off. Waiting for it to return." : "Waiting for the host to go live." };
  if (playing === "playing" && talk === "live") return { badge: "Live", tone: "live", veil: "" };
  if (playing === "playing") return { badge: "Reconnecting", tone: "warn", note: "The video plays; hotspots are reconnecting." };
  if (playing === "stalled") return { badge: "Waiting", tone: "warn", note: "The video stopped; waiting for the host." };
  if (playing === "retrying") return { badge: "Reconnecting", tone: "warn", veil: `${words} Trying again.` };
  return { badge: "Connecting", tone: "idle", veil: "Connecting to the show." };
}

function showSituation() {
  const { badge, tone, veil = "", note = "" } = situation();
  byId("badge").dataset.tone = tone;
  setText(byId("badge-words"), badge);
  setText(byId("veil-words"), veil);
  byId("veil").classList.toggle("shown", veil !== "");
  setText(byId("connection"), note);
}

function showProducts() {
  const products = overlay.products.filter((card) => !card.hidden);
  list.show(products);
  list.mark(overlay.visiblePids);
  setText(byId("shelf-count"), products.length > 0 ? count(products.length, "product") : "");
  byId("empty").hidden = products.length > 0;
  byId("paid-note").hidden = !products.some(isPaid);
  showPinned(products.filter((card) => card.pinned));
}

function showPinned(cards) {
  const box = byId("pinned");
  const look = JSON.stringify(cards);
  if (box.dataset.look === look) return;
  box.dataset.look = look;
  box.replaceChildren(...cards.slice(0, 3).map((card) =>
    h("button.spotlight", { type: "button", onclick: () => overlay.openProduct(card.pid) },
      picture(card),
      h("span.words", {}, h("span.eyebrow", {}, "The host is showing"), h("span.name", {}, card.title), price(card)),
      icon("next"))));
}

// ---- taps

const waiting = new Map();

overlay.addEventListener("vitrine-tap", ({ detail: { id, pid, hotspot } }) => {
  const card = overlay.products.find((known) => known.pid === pid);
  if (!card) return;
  const state = overlay.shown.spots.find((spot) => spot.id === hotspot)?.state ?? "exact";
  waiting.set(id, setTimeout(() => sheet.show(card, state), LOCAL_ANSWER_MS));
});

overlay.addEventListener("vitrine-card", ({ detail: { id, hit, state, card, reason } }) => {
  const timer = waiting.get(id);
  clearTimeout(timer);
  waiting.delete(id);
  if (hit && card) return sheet.show(card, state);
  if (reason === "no-answer" && sheet.open) return; // the page has shown what it knows
  sheet.say("Nothing here", reason === "no-answer" ? "The server did not answer. Try again, or use the product list." : "No product was found at this place in the picture.");
});

// ---- controls

soundButton(video);
hotspotButtons(overlay);
fullScreenButton(frame, byId("card"));

// ---- go

document.title = `${stream} – Vitrine`;
setText(byId("name"), stream);
overlay.addEventListener("vitrine-products", showProducts);
overlay.addEventListener("vitrine-visible", ({ detail }) => list.mark(detail.pids));
overlay.addEventListener("vitrine-state", ({ detail: { latencyMs, live } }) => {
  if (player && !onPlaylist) player.holdBackMs = latencyMs;
  if (live) player?.wake();
  search.live = live;
  showSituation();
});

/** What this show's viewers play; WHEP where the server does not say. */
async function choosePlayer() {
  const { playlist = null } = await getJson(`/api/streams/${encodeURIComponent(stream)}/video`, key).catch(() => ({}));
  if (!playlist) return new WhepPlayer(video, `/whep/${encodeURIComponent(stream)}`, key);
  const { PlaylistPlayer } = await import("./playlist.js");
  const made = new PlaylistPlayer(video, playlist);
  onPlaylist = true;
  made.addEventListener("begin", () => { overlay.mediaClock = made.mediaClock; });
  made.addEventListener("behind", showSituation);
  return made;
}

if (key) overlay.setAttribute("token", key);
showSituation();
choosePlayer().then((made) => {
  player = made;
  player.addEventListener("state", showSituation);
  player.start(); // before the overlay: a player of playlists says how far back hotspots are needed
  overlay.setAttribute("src", overlaySocket(stream));
  showSituation();
});
