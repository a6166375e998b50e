/** Searching in the picture: holds the frame on screen, asks the server about it, and about moments gone by. */

import { getJson, h, icon, setText } from "./page.js";
import { agoWords, LatestWins, wireBox } from "./searchbox.js";
import { HeldPicture, MIDDLE } from "./searchpicture.js";
import { Results } from "./searchresults.js";
import { ticksBetween } from "./vitrine-overlay.js";
import { request, withKey } from "./webrtc.js";

/** @typedef {import("./searchbox.js").Box} Box */

const DRAG_PX = 32; // a mouse that pulls further over the moving picture draws a box; less far is a tap, see vitrine-overlay.js

/** The server's side: what can be searched, searches, stills. */
class SearchClient {
  #path;
  #key;

  constructor(stream, key) {
    this.#path = `/api/streams/${encodeURIComponent(stream)}`;
    this.#key = key;
  }

  about() {
    return getJson(`${this.#path}/search`, this.#key);
  }

  async ask(body, signal) {
    const headers = withKey(this.#key, { "Content-Type": "application/json", Accept: "application/json" });
    const response = await request(`${this.#path}/search`, { method: "POST", headers, body: JSON.stringify(body), signal });
    return response.json();
  }

  async still({ epoch, rtp }, signal) {
    const response = await request(`${this.#path}/still?epoch=${epoch}&rtp=${rtp}`, { headers: withKey(this.#key), signal });
    const at = { epoch: Number(response.headers.get("X-Vitrine-Epoch")), rtp: Number(response.headers.get("X-Vitrine-Rtp")) };
    return { ...at, image: await createImageBitmap(await response.blob()) };
  }
}

/** The viewer's search: holds a frame, asks, shows. */
export class PictureSearch {
  #overlay;
  #client;
  #parts;
  #closeCard;
  #held;
  #results;
  #wins;
  #query = null; // asked last
  #stills;
  #slider;
  #when;
  #moment = null; // {epoch, rtp} that is searched
  #marks = [];
  #marksAtMs = 0;
  #enabled = false;
  #live = false;
  #pressed = null;
  #back = null; // what had the focus

  constructor({ overlay, stream, key, parts, open, close }) {
    this.#overlay = overlay;
    this.#parts = parts;
    this.#closeCard = close;
    this.#client = new SearchClient(stream, key);
    this.#held = new HeldPicture(parts.layer, (box, done) => this.#changed(done), () => this.#search());
    this.#results = new Results(parts.results, {
      open, look: (moment) => this.#goTo(moment), leave: () => this.stop(), again: () => this.#wins.now(this.#query),
    });
    this.#wins = new LatestWins((query, signal) => this.#client.ask({ ...query, ...this.#results.where }, signal), (news) => this.#news(news));
    this.#stills = new LatestWins((at, signal) => this.#client.still(at, signal), (news) => this.#stillCame(news), { waitMs: 90 });
    this.#slider = h("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": "Moment of the show", oninput: () => this.#slid() });
    this.#when = h("output.when", { "aria-hidden": "true" }, "");
    parts.tools.replaceChildren(
      h("label.glass.slide", {}, this.#when, this.#slider),
      h("button.glass", { type: "button", id: "search-look", onclick: () => this.#lookHere() }, icon("look"), h("span", {}, "All products")),
      h("button.glass.done", { type: "button", id: "search-done", onclick: () => this.stop() }, h("span", {}, "Done"), h("span.hush", {}, ", back to the show")));
    parts.seek.addEventListener("click", () => this.start());
    parts.look.addEventListener("click", () => { if (this.start({ box: null })) this.#lookHere(); });
    this.#listenToPicture();
    document.addEventListener("keydown", (event) => {
      const shown = this.active || !parts.results.hidden;
      if (event.key === "Escape" && shown && !document.querySelector("dialog[open]")) this.stop();
    });
    new ResizeObserver(() => this.#place()).observe(parts.picture);
    overlay.video?.addEventListener("resize", () => this.#place());
  }

  /** A frame is held and searched. */
  get active() {
    return !this.#parts.layer.hidden;
  }

  set live(on) {
    this.#live = on;
    this.#offer();
    if (on) this.#learn();
  }

  /** What else one can do with a product's card. */
  cardActions(card) {
    if (!this.#enabled) return [];
    const action = (mode, symbol, words) => h("button.quiet", {
      type: "button", "data-mode": mode, onclick: () => { this.#closeCard(); this.#list({ mode, product_id: card.id }); },
    }, icon(symbol), h("span", {}, words));
    return [action("similar", "alike", "Similar"), action("complete", "set", "Completes the look")];
  }

  /**
   * Holds the frame that is on screen.
   *
   * @param {{box?: Box|null, grabbed?: ReturnType<import("./vitrine-overlay.js").VitrineOverlay["grab"]>}} options box null: none yet
   * @returns {boolean} whether there was a frame to hold
   */
  start({ box = this.#firstBox(), grabbed = this.#overlay.grab() } = {}) {
    if (!grabbed) return false;
    const { video } = this.#overlay;
    this.#held.draw(grabbed.image, video.videoWidth, video.videoHeight);
    grabbed.close();
    this.#moment = { epoch: grabbed.epoch, rtp: grabbed.rtp };
    this.#back = document.activeElement;
    this.#marks = [];
    this.#show(true);
    this.#markSpots();
    this.#held.boxed = box !== null;
    this.#held.set(box ?? MIDDLE);
    this.#held.focus();
    this.#learn();
    if (box) this.#search();
    return true;
  }

  /** Back to the moving picture. */
  stop() {
    this.#wins.cancel();
    this.#stills.cancel();
    this.#show(false);
    this.#parts.results.hidden = true;
    this.#parts.shelf.classList.remove("searching");
    (this.#back?.isConnected && this.#back !== document.body ? this.#back : this.#parts.seek).focus({ preventScroll: true });
  }

  // -- asking

  #search() {
    this.#wins.now(this.#regionQuery());
  }

  #changed(done) {
    if (done) this.#search();
    else this.#wins.change(this.#regionQuery());
  }

  #regionQuery() {
    return { mode: "similar", ...this.#moment, box: wireBox(this.#held.box) };
  }

  #lookHere(person = null) {
    this.#held.boxed = false;
    this.#wins.now({ mode: "look", ...this.#moment, ...(person ? { person: wireBox(person) } : {}) });
  }

  /** Answers that belong to a product, not to the picture. */
  #list(query) {
    this.#results.clear();
    this.#wins.now(query);
  }

  #news({ state, query, answer, error }) {
    const titles = { look: query.person ? "This person's look" : "In this picture", complete: "Completes the look", similar: query.box ? "In the box" : "Similar products" };
    this.#query = query;
    this.#parts.results.hidden = false;
    this.#parts.shelf.classList.add("searching");
    if (document.fullscreenElement) document.exitFullscreen();
    if (state === "asking") return this.#results.asking(titles[query.mode]);
    if (state === "failed") return this.#results.fail(error);
    this.#results.show(answer);
    if (query.mode === "look" && !query.person) this.#markObjects(answer.objects ?? []);
    const { results } = this.#parts;
    if (!query.epoch && !results.contains(document.activeElement)) results.querySelector("h2").focus({ preventScroll: true });
    this.#parts.results.dataset.answered = JSON.stringify(query);
  }

  // -- the picture

  #show(on) {
    const { layer, controls, tools, look } = this.#parts;
    layer.hidden = !on;
    tools.hidden = !on;
    controls.hidden = on;
    this.#overlay.inert = on;
    look.hidden = on || !this.#offered;
    if (on) this.#place();
  }

  #place() {
    const box = this.#overlay.getBoundingClientRect();
    const outer = this.#parts.picture.getBoundingClientRect();
    const picture = this.#overlay.diagnostics.picture;
    const [x, y] = [picture.x + box.left - outer.left, picture.y + box.top - outer.top];
    this.#held.place({ ...picture, x, y });
    Object.assign(this.#parts.look.style, { left: `${x + 10}px`, top: `${y + picture.height - 54}px` });
  }

  /** Around the largest thing that is known to be there. */
  #firstBox() {
    const area = (spot) => (spot.x1 - spot.x0) * (spot.y1 - spot.y0);
    const largest = [...this.#overlay.shown.spots].sort((a, b) => area(b) - area(a))[0];
    return largest ? { x0: largest.x0, y0: largest.y0, x1: largest.x1, y1: largest.y1 } : MIDDLE;
  }

  #markSpots() {
    const titles = new Map(this.#overlay.products.map((card) => [card.pid, card.title]));
    this.#held.mark(this.#overlay.shown.spots.map((spot) => ({
      box: spot, person: false, label: `Search here: ${titles.get(spot.pid) ?? "a product"}`, pick: () => this.#pick(spot),
    })));
  }

  #markObjects(objects) {
    const known = objects.filter(({ label, hits = [] }) => label === "person" || hits.length > 0);
    this.#held.mark(known.map(({ box: [x0, y0, x1, y1], label, hits }) => {
      const box = { x0, y0, x1, y1 };
      const person = label === "person";
      const words = person ? "Only this person's look" : `Search here: ${hits[0].card.title}`;
      return { box, person, label: words, pick: () => (person ? this.#lookHere(box) : this.#pick(box)) };
    }));
  }

  #pick(box) {
    this.#held.boxed = true;
    this.#held.set(box);
    this.#held.focus();
    this.#search();
  }

  /** A mouse that presses on the moving picture and pulls draws a box on the frame that was there at the press. */
  #listenToPicture() {
    const { picture } = this.#parts;
    const drop = () => {
      this.#pressed?.grabbed?.close();
      this.#pressed = null;
    };
    picture.addEventListener("pointerdown", (event) => {
      drop();
      const seen = event.target === this.#overlay.video || event.target === this.#overlay;
      if (event.button !== 0 || event.pointerType !== "mouse" || !seen || !this.#offered) return;
      this.#pressed = { x: event.clientX, y: event.clientY, grabbed: this.#overlay.grab() };
    });
    picture.addEventListener("pointermove", (event) => {
      const pressed = this.#pressed;
      if (!pressed?.grabbed || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < DRAG_PX) return;
      this.#pressed = null;
      if (this.start({ box: null, grabbed: pressed.grabbed })) {
        this.#held.drawFrom(this.#held.at({ clientX: pressed.x, clientY: pressed.y }), event);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) picture.addEventListener(name, drop);
  }

  // -- moments gone by

  /** Whether one can search, and how far back. */
  async #learn() {
    try {
      const { enabled, marks } = await this.#client.about();
      this.#enabled = enabled === true;
      this.#marks = (Array.isArray(marks) ? marks : []).filter((mark) => this.#isGoneBy(mark));
      this.#marksAtMs = performance.now();
    } catch {
      this.#enabled = false; // a server that does not search, or not for us
    }
    this.#offer();
    this.#slider.max = String(this.#marks.length);
    this.#slider.value = this.#slider.max;
    this.#sayWhen();
  }

  /** The screen is behind the server: its newest moments may be newer than the frame that is held. */
  #isGoneBy([epoch, rtp]) {
    const held = this.#moment;
    return !held || epoch < held.epoch || (epoch === held.epoch && ticksBetween(rtp, held.rtp) < 0);
  }

  get #offered() {
    return this.#enabled && this.#live && !this.active;
  }

  #offer() {
    this.#parts.seek.hidden = !(this.#enabled && this.#live);
    this.#parts.look.hidden = !this.#offered;
    this.#place();
  }

  #slid() {
    const mark = this.#marks[Number(this.#slider.value)];
    this.#sayWhen();
    if (mark) this.#stills.change({ epoch: mark[0], rtp: mark[1] });
  }

  #sayWhen() {
    const mark = this.#marks[Number(this.#slider.value)];
    const words = mark ? agoWords(mark[2] + performance.now() - this.#marksAtMs) : "this frame";
    setText(this.#when, words);
    this.#slider.setAttribute("aria-valuetext", words);
  }

  #goTo(moment) {
    this.#stills.now({ epoch: moment.epoch, rtp: moment.rtp });
  }

  #stillCame({ state, answer, error }) {
    this.#parts.layer.classList.toggle("loading", state === "asking");
    if (state === "failed") return this.#results.fail(error);
    if (state !== "answered") return;
    this.#held.draw(answer.image, answer.image.width, answer.image.height);
    answer.image.close();
    this.#moment = { epoch: answer.epoch, rtp: answer.rtp };
    this.#held.mark([]);
    if (!this.active) this.#show(true);
    if (this.#held.boxed) this.#search();
    else this.#lookHere();
  }
}
