/** The frame that is held, with the box on it: pointers, keys, marks. Tells of every change; decides nothing about searches. */

import { h } from "./page.js";
import { boxWords, fitBox, keyBox, moveBox, resizeBox } from "./searchbox.js";

/** @typedef {import("./searchbox.js").Box} Box */

/** Where the box is when nothing is known of the picture. @type {Box} */
export const MIDDLE = Object.freeze({ x0: 0.34, y0: 0.25, x1: 0.66, y1: 0.75 });

const EDGES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const PULL = 0.008; // of the picture; less is a press
const HELP = "Arrow keys move the box, shift and arrow keys resize it, Enter searches, Escape goes back to the show.";

export class HeldPicture {
  /** @type {Box} */
  box = MIDDLE;
  #layer;
  #canvas = h("canvas", { "aria-hidden": "true" });
  #frame;
  #marks = h("div.search-marks", {});
  #changed;
  #drag = null;

  /** @param {(box: Box, done: boolean) => void} changed done: the hand is off the box @param {(name: string) => void} act */
  constructor(layer, changed, act) {
    this.#layer = layer;
    this.#changed = changed;
    this.#frame = h("div.search-box", {
      tabindex: "0", role: "application", "aria-roledescription": "search box", "aria-label": "Search box", "aria-describedby": "search-help",
      onkeydown: (event) => this.#key(event, act),
    }, ...EDGES.map((edge) => h(`span.edge.${edge}`, { "data-edge": edge })));
    layer.replaceChildren(this.#canvas, this.#marks, this.#frame, h("p.hush", { id: "search-help" }, HELP), h("p.held", {}, "Picture held"));
    layer.addEventListener("pointerdown", (event) => this.#press(event));
    layer.addEventListener("pointermove", (event) => this.#pull(event));
    layer.addEventListener("pointerup", (event) => this.#release(event));
    layer.addEventListener("pointercancel", () => { this.#drag = null; });
  }

  focus() {
    this.#frame.focus({ preventScroll: true });
  }

  /** Over the picture, wherever that is in its frame. */
  place({ x, y, width, height }) {
    Object.assign(this.#layer.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  }

  draw(image, width, height) {
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d", { alpha: false })?.drawImage(image, 0, 0, width, height);
  }

  /** @param {Box} box */
  set(box) {
    this.box = fitBox(box);
    const percent = (value) => `${value * 100}%`;
    const { x0, y0, x1, y1 } = this.box;
    Object.assign(this.#frame.style, { left: percent(x0), top: percent(y0), width: percent(x1 - x0), height: percent(y1 - y0) });
    this.#frame.setAttribute("aria-label", `Search box: ${boxWords(this.box)}`);
    this.#clearBox();
  }

  /** Shows or hides the box: all products of a picture need none. */
  set boxed(on) {
    this.#layer.classList.toggle("unboxed", !on);
    this.#clearBox();
  }

  get boxed() {
    return !this.#layer.classList.contains("unboxed");
  }

  /** @param {{box: Box, label: string, person: boolean, pick: () => void}[]} marks things in the picture one can pick */
  mark(marks) {
    this.#marks.replaceChildren(...marks.map(({ box, label, person, pick }) => {
      const button = h(person ? "button.pick.person" : "button.pick", { type: "button", "aria-label": label, title: label, onclick: pick });
      const [x, y] = [(box.x0 + box.x1) / 2, person ? box.y0 : (box.y0 + box.y1) / 2];
      Object.assign(button.style, { left: `${x * 100}%`, top: person ? `max(${y * 100}%, 40px)` : `${y * 100}%` });
      Object.assign(button.dataset, { x, y });
      return button;
    }));
    this.#clearBox();
  }

  /** No mark lies in the box: what is in there shall be seen. */
  #clearBox() {
    const { x0, y0, x1, y1 } = this.box;
    for (const mark of this.#marks.children) {
      const { x, y } = mark.dataset;
      mark.hidden = this.boxed && x > x0 && x < x1 && y > y0 && y < y1;
    }
  }

  /** A press elsewhere on the page that turned into drawing: goes on here. @param {{x: number, y: number}} from 0..1 */
  drawFrom(from, event) {
    this.#drag = { kind: "draw", from, box: this.box };
    this.#layer.setPointerCapture(event.pointerId);
    this.#pull(event);
  }

  at(event) {
    const { left, top, width, height } = this.#layer.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }

  #press(event) {
    if (event.button !== 0 || event.target.closest("button")) return;
    event.preventDefault();
    const from = this.at(event);
    const edge = event.target.dataset?.edge;
    const inside = this.#frame.contains(event.target);
    this.#drag = { kind: !this.boxed ? "draw" : edge ? "resize" : inside ? "move" : "draw", edge, from, box: this.box, moved: false };
    this.#layer.setPointerCapture(event.pointerId);
  }

  #pull(event) {
    const drag = this.#drag;
    if (!drag) return;
    const to = this.at(event);
    const [dx, dy] = [to.x - drag.from.x, to.y - drag.from.y];
    if (Math.abs(dx) + Math.abs(dy) < PULL && !drag.moved) return; // a press, not yet a pull
    drag.moved = true;
    this.boxed = true;
    if (drag.kind === "move") this.set(moveBox(drag.box, dx, dy));
    else if (drag.kind === "resize") this.set(resizeBox(drag.box, drag.edge, dx, dy));
    else this.set({ x0: drag.from.x, y0: drag.from.y, x1: to.x, y1: to.y });
    this.#changed(this.box, false);
  }

  #release(event) {
    const drag = this.#drag;
    if (!drag) return;
    this.#pull(event);
    this.#drag = null;
    if (drag.moved) this.#changed(this.box, true);
    this.focus();
  }

  #key(event, act) {
    const box = event.ctrlKey || event.metaKey || event.altKey ? null : keyBox(this.box, event.key, event.shiftKey);
    if (box) {
      event.preventDefault();
      this.boxed = true;
      this.set(box);
      this.#changed(this.box, false);
    } else if (event.key === "Enter") {
      event.preventDefault();
      act("search");
    }
  }
}
