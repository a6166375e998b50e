/** Products as a list and as a card: the equivalent, beside the video, of what the hotspots offer in it. */

import { h, icon, link, setText } from "./page.js";
import { disclosureWord } from "./vitrine-overlay.js";

const AVAILABILITY = {
  in_stock: "In stock", out_of_stock: "Sold out", preorder: "Pre-order", backorder: "On back order",
};

/** @typedef {import("./vitrine-overlay.js").Card} Card */

export function availabilityWords(/** @type {Card} */ card) {
  return AVAILABILITY[card.availability] ?? "";
}

/** The catalogue picture, or a quiet placeholder when it is missing or broken. */
export function picture(/** @type {Card} */ card) {
  const frame = h("span.picture", {}, icon("bag"));
  const address = link(card.image);
  if (address) {
    const image = h("img", { src: address, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.remove());
    frame.append(image);
  }
  return frame;
}

/** Price; with a sale price, both, named for those who do not see the stroke. */
export function price(/** @type {Card} */ card) {
  if (!card.sale_price) return h("span.price", {}, card.price);
  return h("span.price", {}, h("span.hush", {}, "now "), card.sale_price, " ", h("span.hush", {}, "instead of "), h("s", {}, card.price));
}

/** Whether somebody paid for its place. */
export function isPaid(/** @type {Card} */ card) {
  return disclosureWord(card) === "Paid";
}

/** Who sells it, and whose advertisement it is. */
export function disclosure(/** @type {Card} */ card) {
  const words = card.label || (card.third_party ? `Sold by ${card.seller || "a partner"}` : "");
  if (!words) return null;
  return h(isPaid(card) ? "span.tag.paid" : "span.tag", {}, words);
}

/** A list that keeps its rows (and so the keyboard's place) while products change. */
export class ProductList {
  #list;
  #open;
  #rows = new Map();
  #actions;

  /**
   * @param {HTMLElement} list a <ul>
   * @param {(pid: number) => void} open @param {(card: Card) => Node[]} actions extra buttons of a row
   */
  constructor(list, open, actions = () => []) {
    this.#list = list;
    this.#open = open;
    this.#actions = actions;
  }

  show(/** @type {(Card & {pinned: boolean, hidden: boolean})[]} */ products) {
    const known = new Set(products.map((card) => card.pid));
    for (const [pid, row] of this.#rows) {
      if (known.has(pid)) continue;
      row.element.remove();
      this.#rows.delete(pid);
    }
    products.forEach((card, index) => {
      const look = JSON.stringify(card);
      let row = this.#rows.get(card.pid);
      if (!row) {
        row = { element: h("li.product"), look: "" };
        this.#rows.set(card.pid, row);
      }
      if (row.look !== look) this.#fill(row, card, look);
      if (this.#list.children[index] !== row.element) this.#list.insertBefore(row.element, this.#list.children[index] ?? null);
    });
  }

  /** Marks what is in the picture now. */
  mark(/** @type {number[]} */ pids) {
    for (const [pid, { element }] of this.#rows) {
      const on = pids.includes(pid);
      element.classList.toggle("visible", on);
      setText(element.querySelector(".now"), on ? "In the picture" : "");
    }
  }

  #fill(row, card, look) {
    const focus = row.element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const visible = row.element.classList.contains("visible");
    row.look = look;
    row.element.classList.toggle("pinned", card.pinned);
    row.element.classList.toggle("hidden-by-host", card.hidden);
    row.element.classList.toggle("sold-out", card.availability === "out_of_stock");
    const facts = h("span.facts", {}, price(card), card.availability === "in_stock" ? null : h("span.tag.stock", {}, availabilityWords(card)), disclosure(card));
    const body = h("button.row", { type: "button", "data-focus": "open", onclick: () => this.#open(card.pid) },
      picture(card),
      h("span.words", {},
        h("span.name", {}, card.title || card.id),
        facts,
        h("span.notes", {}, card.pinned ? h("span.on-show", {}, "Shown by the host") : null, h("span.now", {}, visible ? "In the picture" : ""))));
    row.element.replaceChildren(body, ...this.#actions(card));
    if (focus) row.element.querySelector(`[data-focus="${focus}"]`)?.focus();
  }
}

/** The product card: a bottom sheet on a phone, a panel on a wide screen. */
export class CardSheet {
  #dialog;
  #body;
  #close;
  #actions;

  /** @param {HTMLDialogElement} dialog @param {(card: Card) => Node[]} actions further things to do with a product */
  constructor(dialog, actions = () => []) {
    this.#dialog = dialog;
    this.#actions = actions;
    this.#body = h("div.card");
    this.#close = h("button.quiet.round.close", { type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
    dialog.replaceChildren(this.#close, this.#body);
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop
  }

  get open() {
    return this.#dialog.open;
  }

  /** @param {Card} card @param {"exact"|"similar"|"unsure"} state how sure the engine is that this is the thing tapped */
  show(card, state = "exact") {
    const address = link(card.link);
    const soldOut = card.availability === "out_of_stock";
    const seller = card.seller || (address ? new URL(address).hostname : "");
    const action = !address ? null
      : h("a.primary", { href: address, target: "_blank", rel: "noopener noreferrer" },
        soldOut ? "See it at the shop" : seller ? `View at ${seller}` : "View at the shop", icon("out"));
    this.#body.replaceChildren(
      picture(card),
      h("div.details", {},
        state === "exact" ? "" : h("p.match", {}, state === "similar" ? "Similar to what you tapped" : "This may be what you tapped"),
        h("h2", { id: "card-title", tabindex: "-1" }, card.title || card.id),
        card.brand ? h("p.brand", {}, card.brand) : null,
        h("p.money", {}, price(card), h("span.stock", { class: `stock ${card.availability}` }, availabilityWords(card))),
        isPaid(card) ? h("p.tag.paid", {}, card.label) : null,
        seller ? h("p.seller", {}, card.third_party ? `Sold by ${seller}, another shop than the host's` : `Sold by ${seller}`) : null,
        card.description ? h("p.description", {}, card.description) : null),
      action ?? h("p.quiet-words", {}, "This product has no page to open."),
      h("div.more", {}, ...this.#actions(card)));
    this.#present();
  }

  close() {
    this.#dialog.close();
  }

  /** What to say when there is no card. */
  say(title, words) {
    this.#body.replaceChildren(h("div.details", {}, h("h2", { id: "card-title", tabindex: "-1" }, title), h("p", {}, words)));
    this.#present();
  }

  #present() {
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#dialog.querySelector("#card-title")?.focus();
  }
}
