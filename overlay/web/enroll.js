/** Teaching a product: it is shown to the camera, the engine collects views and says whether it can tell it apart. */

import { byId, complain, count, getJson, h, postJson, setText } from "./page.js";
import { picture } from "./products.js";
import { request, withKey } from "./webrtc.js";

const PACE_MS = 400;

/** "12 views shown to the camera, 1 confirmed" of what is remembered of a product. */
export function taughtWords({ enrolled = 0, confirmed = 0, vetoed = 0 }) {
  return [
    enrolled ? `${count(enrolled, "view")} shown to the camera` : "",
    confirmed ? `${count(confirmed, "view")} confirmed` : "",
    vetoed ? `${count(vetoed, "view")} that ${vetoed === 1 ? "is" : "are"} not it` : "",
  ].filter(Boolean).join(", ");
}

export class EnrolPanel {
  #desk;
  #select = /** @type {HTMLSelectElement} */ (byId("enrol-product"));
  #products = [];
  #offered = "";
  #live = false;
  #running = false;
  #timer = 0;
  #views = 0;

  constructor(/** @type {import("./page.js").Desk} */ desk) {
    this.#desk = desk;
    byId("enrol-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    byId("enrol-keep").addEventListener("click", () => this.#keep());
    byId("enrol-drop").addEventListener("click", () => this.#drop());
  }

  /** Somebody publishes: there is a picture to show it in. */
  set live(live) {
    if (live !== this.#live && live) this.showTaught();
    this.#live = live;
    this.#enable();
  }

  get live() {
    return this.#live;
  }

  /** What can be taught. */
  set products(/** @type {{id: string, title: string, image: string}[]} */ products) {
    const look = JSON.stringify(products.map((card) => [card.id, card.title]));
    this.#products = products;
    if (look !== this.#offered) {
      this.#offered = look;
      const chosen = this.#select.value;
      this.#select.replaceChildren(...products.map((card) => h("option", { value: card.id }, card.title || card.id)));
      if (products.some((card) => card.id === chosen)) this.#select.value = chosen;
    }
    this.#enable();
  }

  get products() {
    return this.#products;
  }

  /** Lists what is remembered. */
  async showTaught() {
    try {
      const { products } = await getJson(`${this.#desk.path}/taught`, this.#desk.key());
      byId("taught").replaceChildren(...products.map((one) => h("li", {},
        h("span", {}, `${one.title}: ${taughtWords(one)}`),
        h("button.quiet", { type: "button", "aria-label": `Forget what was taught of ${one.title}`, onclick: () => this.#forget(one.product_id) }, "Forget"))));
    } catch {
      // without the key, or without the server, there is nothing to list
    }
  }

  #enable() {
    byId("enrol-begin").disabled = !this.#live || this.#running || this.#products.length === 0;
  }

  async #begin() {
    this.#views = 0;
    byId("enrol-views").replaceChildren();
    byId("enrol-verdict").hidden = true;
    try {
      this.#show(await postJson(`${this.#desk.path}/enrol`, { product_id: this.#select.value }, this.#desk.key()));
      this.#desk.say("");
      this.#running = true;
      byId("enrol-run").hidden = false;
      this.#next();
    } catch (error) {
      complain(this.#desk, error);
    }
    this.#enable();
  }

  #next() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), PACE_MS);
  }

  async #look() {
    try {
      this.#show(await getJson(`${this.#desk.path}/enrol?have=${this.#views}`, this.#desk.key()));
    } catch (error) {
      if (error.status) this.#running = false; // the server says no; otherwise it is away for a moment
      complain(this.#desk, error);
    }
    this.#enable();
    if (this.#running) this.#next();
  }

  #show(state) {
    byId("enrol-bar").value = state.progress;
    setText(byId("enrol-advice"), state.done ? `${count(state.views, "view")} collected.` : `${state.advice} ${count(state.views, "view")} so far.`);
    this.#views = state.views;
    byId("enrol-views").append(...state.pictures.map((address) => h("li", {}, h("img", { src: address, alt: "" }))));
    if (!state.done) return;
    this.#running = false;
    setText(byId("enrol-words"), state.kept ? `${count(state.kept, "view")} taught. ${state.words}` : state.words);
    byId("enrol-verdict").dataset.telling = state.telling;
    byId("enrol-confused").replaceChildren(...state.confused.map((one) => {
      const card = this.#products.find((known) => known.id === one.product_id);
      return h("li", {}, card ? picture(card) : null, h("span", {}, `${one.title}: ${one.views} of ${state.views} views`));
    }));
    byId("enrol-keep").hidden = state.kept > 0 || state.views === 0;
    byId("enrol-drop").hidden = state.kept > 0;
    byId("enrol-verdict").hidden = false;
  }

  async #keep() {
    try {
      this.#show(await postJson(`${this.#desk.path}/enrol/keep`, {}, this.#desk.key()));
      this.#desk.say("");
    } catch (error) {
      complain(this.#desk, error);
    }
    await this.showTaught();
  }

  async #drop() {
    try {
      await request(`${this.#desk.path}/enrol`, { method: "DELETE", headers: withKey(this.#desk.key()) });
      byId("enrol-verdict").hidden = byId("enrol-run").hidden = true;
    } catch (error) {
      complain(this.#desk, error);
    }
  }

  async #forget(product) {
    try {
      await postJson(`${this.#desk.path}/forget`, { product_id: product }, this.#desk.key());
    } catch (error) {
      complain(this.#desk, error);
    }
    await this.showTaught();
  }
}
