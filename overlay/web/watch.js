/** The viewer's page: video, hotspots, the product list, and one card at a time. */

import "./vitrine-overlay.js";
import { fullScreenButton, hotspotButtons, soundButton } from "./controls.js";
import { byId, count, h, icon, overlaySocket, setText, streamName, takeKey } from "./page.js";
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
const player = new WhepPlayer(video, `/whep/${encodeURIComponent(stream)}`, key);
const search = new PictureSearch({
  overlay, stream, key,
  parts: {
    picture: byId("picture"), layer: byId("search"), controls: byId("controls"), tools: byId("search-controls"),
    seek: byId("seek"), look: byId("look"), shelf: byId("shelf"), results: byId("results"),
  },
  open: (card, state) => (card.pid > 0 ? overlay.openProduct(card.pid) : sheet.show(card, state)),
  close: () => sheet.close(),
});

/** What the person is told, by the overlay's state and the player's. `veil`: shown over the picture. */
function situation() {
  const talk = overlay.state;
  if (talk === "refused" || player.state === "refused") {
    return { badge: "No access", tone: "bad", veil: player.words || overlay.diagnostics.reason };
  }
  if (talk === "missing") return { badge: "Not found", tone: "idle", veil: `There is no show called "${stream}" yet. This page keeps looking.` };
  if (talk === "ended") return { badge: "Ended", tone: "idle", veil: "The host has left. The products stay here; the picture returns when the host does." };
  if (talk === "away" || player.state === "waiting") return { badge: "Host away", tone: "idle", veil: overlay.diagnostics.reason ? "The host's connection broke off. Waiting for it to return." : "Waiting for the host to go live." };
  if (player.state === "playing" && talk === "live") return { badge: "Live", tone: "live", veil: "" };
  if (player.state === "playing") return { badge: "Reconnecting", tone: "warn", note: "The video plays; hotspots are reconnecting." };
  if (player.state === "stalled") return { badge: "Waiting", tone: "warn", note: "The video stopped; waiting for the host." };
  if (player.state === "retrying") return { badge: "Reconnecting", tone: "warn", veil: `${player.words} Trying again.` };
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
  player.holdBackMs = latencyMs;
  if (live) player.wake();
  search.live = live;
  showSituation();
});
player.addEventListener("state", showSituation);
if (key) overlay.setAttribute("token", key);
overlay.setAttribute("src", overlaySocket(stream));
player.start();
showSituation();
