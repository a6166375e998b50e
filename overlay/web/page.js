/** Small things all pages need: elements, addresses, keys, the server's JSON. */

import { safeUrl } from "./vitrine-overlay.js";
import { request, withKey } from "./webrtc.js";

/**
 * An element. Text only ever becomes text: nothing here parses markup.
 *
 * @param {string} name e.g. "p" or "button.primary"
 * @param {Record<string, unknown>} properties attributes, or functions for `onclick` and the like; null and false are left out
 * @param {...(Node|string|null)} children
 */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** Address of an icon, beside this script wherever that lies. */
export function iconAddress(name) {
  return `${new URL("./icons.svg", import.meta.url).href}#${name}`;
}

/** One of the page's own icons (a <symbol> of its <svg>). */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", iconAddress(name));
  svg.append(use);
  return svg;
}

/** @returns {HTMLElement} the element with this id; a missing one is a mistake in the page */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element;
}

/** Sets text only when it differs, so that a live region does not repeat itself. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The stream named by `/watch/{stream}` or `/host/{stream}`. */
export function streamName() {
  const part = location.pathname.split("/").filter(Boolean)[1] ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * The key from `#key=...` (or `#token=...`). It moves from the address bar, where a shared screen would show it, into this
 * tab's storage, so that a reload keeps it.
 */
export function takeKey(role) {
  const slot = `vitrine-key:${role}`;
  const given = new URLSearchParams(location.hash.slice(1));
  const key = given.get("key") ?? given.get("token");
  if (key !== null) {
    keepKey(role, key);
    history.replaceState(null, "", location.pathname + location.search);
    return key;
  }
  try {
    return sessionStorage.getItem(slot) ?? "";
  } catch {
    return "";
  }
}

export function keepKey(role, key) {
  try {
    sessionStorage.setItem(`vitrine-key:${role}`, key);
  } catch {
    // storage is switched off: the key lasts as long as the page
  }
}

/** http and https only; "" otherwise. */
export function link(text) {
  return safeUrl(text, location.href);
}

/** Address of a stream's overlay socket. */
export function overlaySocket(stream) {
  return new URL(`/ws/${encodeURIComponent(stream)}`, location.href).href.replace(/^http/, "ws");
}

/** JSON from the server. @throws {import("./webrtc.js").HttpError} */
export async function getJson(path, key = "") {
  const response = await request(path, { headers: withKey(key, { Accept: "application/json" }), signal: AbortSignal.timeout(5000) });
  return response.json();
}

/** Returns what the server answers, null for nothing. @throws {import("./webrtc.js").HttpError} */
export async function postJson(path, body, key = "") {
  const headers = withKey(key, { "Content-Type": "application/json" });
  const response = await request(path, { method: "POST", headers, body: JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

/** Calls `work` now and then every `everyMs` after it is done; pauses while the tab is hidden. */
export function poll(work, everyMs) {
  let timer = 0;
  const round = async () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") await work();
    timer = setTimeout(round, everyMs);
  };
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && round());
  round();
}

/** "1 viewer", "2 viewers". */
export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

/**
 * What a host's panel needs of its page.
 *
 * @typedef {{path: string, key: () => string, say: (words: string) => void, askForKey: () => void}} Desk
 */

/** Says what went wrong with a request of the host's; asks for the key where that is what is missing. */
export function complain(/** @type {Desk} */ desk, error) {
  const refused = error.status === 401 || error.status === 403;
  desk.say(refused ? "This needs the host key. Enter it below the picture." : error.message);
  if (refused) desk.askForKey();
}
