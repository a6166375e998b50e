// The element's own connection and model, driven from Node against a real gateway: `node client.mjs ADDRESS RANDOM`.
// RANDOM takes the place of Math.random, so that waits are known. Prints what happens as JSON lines; "drop" on standard
// input cuts the connection as a network would.

import { createInterface } from "node:readline";

import { Connection, decodeBinary, OverlayModel } from "../../overlay/web/vitrine-overlay.js";
import { NodeWebSocket } from "./websocket.mjs";

const [, , address, random] = process.argv;
Math.random = () => Number(random);

let newest = null;
globalThis.WebSocket = class extends NodeWebSocket {
  constructor(...given) {
    super(...given);
    newest = this;
    tell("connecting");
  }
};

const began = performance.now();
const tell = (what, more = {}) => console.log(JSON.stringify({ what, at_ms: Math.round(performance.now() - began), ...more }));
const model = new OverlayModel();
const connection = new Connection({
  hello: () => {
    tell("hello", { protocol: newest.protocol, ...model.hello });
    return model.hello;
  },
  message: (data) => {
    const binary = typeof data !== "string";
    const message = binary ? decodeBinary(data) : JSON.parse(data);
    const before = model.seq;
    const { gap } = model.apply(message);
    if (message.t === "snap") connection.settled();
    if (gap) connection.restart();
    tell(message.t, { binary, before, seq: model.seq, log: model.log, recovered: message.recovered ?? null, gap, latency: model.latencyMs });
  },
  state: (state, reason) => tell("state", { state, reason }),
});

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "drop") newest.onclose?.({ code: 1006 });
}).on("close", () => process.exit(0));
connection.open(address);
