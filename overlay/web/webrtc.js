/** What the WHEP player and the WHIP publisher share: one HTTP exchange, words for errors, numbers from getStats. */

/** An answer other than 2xx, or none. */
export class HttpError extends Error {
  /** @param {number} status 0 when there was no answer @param {string} code @param {string} message @param {number|null} retryAfterMs */
  constructor(status, code, message, retryAfterMs = null) {
    super(message);
    this.name = "HttpError";
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** `Retry-After` in seconds or as a date -> milliseconds; null when absent or senseless. At most five minutes. */
export function retryAfterMs(value, nowMs) {
  if (!value) return null;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isFinite(ms) ? Math.min(300_000, Math.max(0, ms)) : null;
}

/** fetch that fails with an HttpError carrying the server's own words. */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", ...options });
  } catch {
    throw new HttpError(0, "unreachable", "The server cannot be reached. Check the network, and that the server is running.");
  }
  if (response.ok) return response;
  let code = `http-${response.status}`;
  let message = `The server answered ${response.status} ${response.statusText}`.trim();
  try {
    const body = await response.json();
    if (typeof body.code === "string") code = body.code;
    if (typeof body.message === "string") message = body.message.slice(0, 500);
  } catch {
    // not one of our servers' answers; the status says enough
  }
  throw new HttpError(response.status, code, message, retryAfterMs(response.headers.get("Retry-After"), Date.now()));
}

/** Headers with the key as bearer token, where there is one. */
export function withKey(key, headers = {}) {
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}

/** Resolves when all candidates are in the local description, at the latest after `limitMs`. */
function gathered(peer, limitMs) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Offer by POST, answer into the peer (RFC 9725, section 4.2; WHEP draft 03 does the same).
 *
 * @returns {Promise<string>} absolute URL of the session resource, "" when the server named none
 */
export async function exchange(peer, url, key) {
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer, 1000);
  const headers = withKey(key, { "Content-Type": "application/sdp", Accept: "application/sdp" });
  const response = await request(url, { method: "POST", headers, body: peer.localDescription.sdp });
  const location = response.headers.get("Location");
  const resource = location ? new URL(location, response.url).href : "";
  try {
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  } catch (error) {
    release(resource, key);
    throw new HttpError(response.status, "answer-invalid", `The browser refused the server's answer: ${error.message}`);
  }
  return resource;
}

/** Ends a session resource. Works while the page is going away; nobody waits for the answer. */
export function release(resource, key) {
  if (resource) fetch(resource, { method: "DELETE", headers: withKey(key), keepalive: true }).catch(() => {});
}

/** All reports of getStats as plain objects. */
export async function stats(peer) {
  const reports = [];
  (await peer.getStats()).forEach((report) => reports.push(report));
  return reports;
}

/** Round-trip time of the selected pair in milliseconds, null when unknown. */
export function roundTripMs(reports) {
  const pair = reports.find((r) => r.type === "candidate-pair" && r.nominated && r.state === "succeeded");
  return Number.isFinite(pair?.currentRoundTripTime) ? pair.currentRoundTripTime * 1000 : null;
}
