// A WebSocket for Node versions without one (before 22): as much of the browser's as the overlay element uses. RFC 6455.

import { createHash, randomBytes } from "node:crypto";
import { request } from "node:http";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export class NodeWebSocket {
  onopen = null;
  onmessage = null;
  onclose = null;
  binaryType = "arraybuffer";
  protocol = "";
  readyState = 0;
  #socket = null;
  #data = Buffer.alloc(0);
  #code = 1006;

  constructor(url, protocols = []) {
    const key = randomBytes(16).toString("base64");
    const asked = request(url.replace(/^ws/, "http"), {
      headers: {
        Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
        ...(protocols.length > 0 ? { "Sec-WebSocket-Protocol": protocols.join(", ") } : {}),
      },
    });
    asked.on("upgrade", (answer, socket, head) => {
      if (answer.headers["sec-websocket-accept"] !== createHash("sha1").update(key + MAGIC).digest("base64")) return socket.destroy();
      this.protocol = answer.headers["sec-websocket-protocol"] ?? "";
      this.#socket = socket;
      this.readyState = 1;
      socket.on("data", (data) => this.#take(data));
      socket.on("close", () => this.#closed());
      socket.on("error", () => {});
      this.onopen?.({});
      if (head.length > 0) this.#take(head);
    });
    asked.on("response", (answer) => { answer.resume(); this.#closed(); });
    asked.on("error", () => this.#closed());
    asked.end();
  }

  send(text) {
    this.#frame(1, Buffer.from(text));
  }

  close(code = 1000) {
    if (this.readyState !== 1) return;
    this.readyState = 2;
    this.#frame(8, Buffer.from([code >> 8, code & 255]));
    this.#socket.end();
  }

  #frame(opcode, payload) {
    const mask = randomBytes(4);
    const size = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255];
    const masked = Buffer.from(payload.map((byte, index) => byte ^ mask[index % 4]));
    this.#socket?.write(Buffer.concat([Buffer.from([0x80 | opcode, ...size]), mask, masked]));
  }

  #take(data) {
    this.#data = Buffer.concat([this.#data, data]);
    for (;;) {
      if (this.#data.length < 2) return;
      let [size, start] = [this.#data[1] & 127, 2];
      if (size === 126) [size, start] = [this.#data.length < 4 ? Infinity : this.#data.readUInt16BE(2), 4];
      else if (size === 127) [size, start] = [this.#data.length < 10 ? Infinity : Number(this.#data.readBigUInt64BE(2)), 10];
      if (this.#data.length < start + size) return;
      const [opcode, payload] = [this.#data[0] & 15, this.#data.subarray(start, start + size)];
      this.#data = this.#data.subarray(start + size);
      if (opcode === 1) this.onmessage?.({ data: payload.toString() });
      else if (opcode === 2) this.onmessage?.({ data: payload.buffer.slice(payload.byteOffset, payload.byteOffset + payload.length) });
      else if (opcode === 9) this.#frame(10, payload);
      else if (opcode === 8) {
        this.#code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
        this.#frame(8, payload.subarray(0, 2));
        this.#socket.end();
      }
    }
  }

  #closed() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code: this.#code });
  }
}
