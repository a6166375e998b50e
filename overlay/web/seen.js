/** What the engine takes each object in the picture for, and why; the host says what is right. */

import { byId, complain, getJson, h, postJson, setText } from "./page.js";

const STATES = { exact: "Sure", similar: "Similar", unsure: "Not sure" };

/**
 * @typedef {{id: number, product_id: string, title: string, state: "exact"|"similar"|"unsure", reason: string, next: string,
 *   shown: boolean}} SeenObject
 */

/** One line of why: the engine's reason, and what it would be taken for otherwise. */
export function why(/** @type {SeenObject} */ seen) {
  const next = seen.next ? `; next: ${seen.next}` : "";
  const unseen = seen.shown || seen.state === "unsure" ? "" : ". Viewers do not see it";
  return `${seen.reason}${next}${unseen}`;
}

export class SeenPanel {
  /** Somebody publishes. */
  live = false;
  /** @type {{id: string, title: string}[]} what an object can be */
  products = [];
  #desk;
  #list = byId("seen");
  #rows = new Map();

  constructor(/** @type {import("./page.js").Desk} */ desk) {
    this.#desk = desk;
  }

  /** Asks once; does nothing while nobody is live. */
  async refresh() {
    let objects = [];
    if (this.live) {
      try {
        const body = await getJson(`${this.#desk.path}/seen`, this.#desk.key());
        objects = Array.isArray(body.objects) ? body.objects : [];
        setText(byId("seen-note"), "");
      } catch (error) {
        setText(byId("seen-note"), error.status === 401 || error.status === 403 ? "This needs the host key." : error.message);
      }
    }
    this.#show(objects);
  }

  #show(/** @type {SeenObject[]} */ objects) {
    byId("seen-empty").hidden = objects.length > 0;
    const known = new Set(objects.map((seen) => seen.id));
    for (const [id, row] of this.#rows) {
      if (known.has(id) || row.element.contains(document.activeElement)) continue; // what is being answered stays
      row.element.remove();
      this.#rows.delete(id);
    }
    for (const seen of objects) {
      const row = this.#rows.get(seen.id) ?? this.#add(seen);
      this.#fill(row, seen);
    }
  }

  #add(seen) {
    const row = { seen, look: "" };
    row.name = h("span.name");
    row.state = h("span.tag");
    row.why = h("span.why");
    row.right = h("button.quiet", { type: "button", onclick: () => this.#teach(row, row.seen.product_id, true) }, "This is right");
    row.wrong = h("button.quiet", { type: "button", onclick: () => this.#teach(row, row.seen.product_id, false) }, "Not this product");
    row.choice = h("select", { "aria-label": "Which product it is", onchange: () => this.#name(row) });
    row.element = h("li.object", { "data-object": seen.id }, h("span.words", {}, row.name, row.why), row.state, row.right, row.wrong, row.choice);
    this.#list.append(row.element);
    this.#rows.set(seen.id, row);
    return row;
  }

  #fill(row, seen) {
    row.seen = seen;
    row.element.dataset.state = seen.state;
    row.element.dataset.product = seen.product_id;
    setText(row.name, seen.title || "An object that is not recognised");
    setText(row.state, STATES[seen.state] ?? "");
    setText(row.why, why(seen));
    row.right.hidden = row.wrong.hidden = seen.product_id === "";
    const look = JSON.stringify(this.products.map((product) => [product.id, product.title]));
    if (row.look === look || row.choice === document.activeElement) return;
    row.look = look;
    row.choice.replaceChildren(h("option", { value: "" }, "It is another …"),
      ...this.products.map((product) => h("option", { value: product.id }, product.title || product.id)));
  }

  #name(row) {
    const product = row.choice.value;
    row.choice.value = "";
    if (product) this.#teach(row, product, true);
  }

  async #teach(row, product, right) {
    try {
      await postJson(`${this.#desk.path}/teach`, { object: row.seen.id, product_id: product, right }, this.#desk.key());
      this.#desk.say("");
      this.onTaught?.();
    } catch (error) {
      complain(this.#desk, error);
    }
    row.element.querySelector(":focus")?.blur();
    await this.refresh();
  }

  /** @type {(() => void)|undefined} called when something was taught */
  onTaught;
}
