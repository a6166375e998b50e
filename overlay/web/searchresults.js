/** Answers to searches, in words and rows. */

import { h, icon, setText } from "./page.js";
import { availabilityWords, disclosure, picture, price } from "./products.js";
import { agoWords } from "./searchbox.js";
import { parseCard } from "./vitrine-overlay.js";

const STATES = new Set(["exact", "similar"]);

/** A card of an answer; products that are not in the show have pid 0. */
function cardOf(raw) {
  const card = parseCard({ ...raw, pid: raw?.pid || 1 });
  return card && { ...card, pid: raw.pid || 0 };
}

export class Results {
  #root;
  #title = h("h2", { id: "results-title", tabindex: "-1" }, "");
  #status = h("p.status", { role: "status" });
  #list = h("ul.products.found", {});
  #moments = h("div.related", {});
  #inStock = h("input", { type: "checkbox", id: "in-stock" });
  #open;
  #look;

  /**
   * @param {(card: object, state: string) => void} open @param {(moment: object) => void} look
   * @param {() => void} leave @param {() => void} again the filter changed
   */
  constructor(root, { open, look, leave, again }) {
    this.#root = root;
    this.#open = open;
    this.#look = look;
    this.#inStock.addEventListener("change", again);
    const only = h("label.only", {}, this.#inStock, h("span", {}, "In stock only"));
    const close = h("button.quiet.round", { type: "button", "aria-label": "Back to the show's products", onclick: leave }, icon("close"));
    root.replaceChildren(h("div.heading", {}, this.#title, only, close), this.#status, this.#list, this.#moments);
  }

  /** What the answers are limited to, as the server wants it. */
  get where() {
    return this.#inStock.checked ? { where: { availability: ["in_stock"] } } : {};
  }

  asking(title) {
    setText(this.#title, title);
    this.#root.setAttribute("aria-busy", "true");
    if (this.#list.children.length === 0) this.say("Searching…", "wait");
  }

  say(words, tone = "") {
    setText(this.#status, words);
    this.#status.dataset.tone = tone;
  }

  clear() {
    this.#list.replaceChildren();
    this.#moments.replaceChildren();
    this.say("");
  }

  fail(error) {
    this.#root.removeAttribute("aria-busy");
    this.clear();
    const gone = { "moment-too-old": "That moment is no longer kept. Go back to the show and search a newer one." };
    this.say(gone[error.code] ?? (error.status === 503 || error.status === 429 ? "Many people are searching right now. Try again in a moment." : error.message), "bad");
  }

  show(answer) {
    this.#root.removeAttribute("aria-busy");
    const hits = (answer.hits ?? []).map((hit) => ({ ...hit, card: cardOf(hit.card) })).filter((hit) => hit.card);
    this.#list.replaceChildren(...(answer.outcome === "found" ? hits.map((hit) => this.#row(hit)) : []));
    this.#moments.replaceChildren(...this.#related(answer));
    const count = hits.length === 1 ? "1 product" : `${hits.length} products`;
    if (answer.outcome === "found") this.say(count);
    else this.say(answer.message ?? "Nothing was found.", answer.outcome === "refused" ? "refused" : "nothing");
  }

  #row({ card, state, words, reason = "", in_show: inShow }) {
    const why = [reason.split(", ")[0], inShow ? "" : "not in this show's list"].filter(Boolean).join(" · "); // figures are for operators
    return h("li.product", {},
      h("button.row", { type: "button", onclick: () => this.#open(card, state) },
        picture(card),
        h("span.words", {},
          h("span.likeness", { "data-state": STATES.has(state) ? state : "loose" }, words),
          h("span.name", {}, card.title || card.id),
          h("span.facts", {}, price(card), card.availability === "in_stock" ? null : h("span.tag.stock", {}, availabilityWords(card)), disclosure(card)),
          why ? h("span.why", {}, why) : null)));
  }

  #related({ moments = [] }) {
    if (moments.length === 0) return [];
    return [
      h("h3", {}, "Shown earlier, a little like it"),
      ...moments.map((moment) => {
        const words = `${moment.title}, ${agoWords(moment.ago_ms)}`;
        return moment.recorded
          ? h("button.quiet.earlier", { type: "button", onclick: () => this.#look(moment) }, words)
          : h("p.earlier", {}, words);
      }),
    ];
  }
}
