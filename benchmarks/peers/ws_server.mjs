// Fan-out with ws for node: see benchmarks/fanout.py. Arguments: the folder that holds node_modules.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)("ws");
const SPOTS = 5;

const nowUs = () => Number((process.hrtime.bigint() / 1000n) & 0xffffffffn);

function message(rtp) {
  const spots = [];
  for (let spot = 1; spot <= SPOTS; spot++) {
    const x = 400 + 1700 * (spot - 1) + (Math.floor(rtp / 1000) % 300);
    spots.push([spot, spot, 0, 0, x, 3000, x + 1400, 7100]);
  }
  return Buffer.from(JSON.stringify({ t: "pos", s: [[1, rtp, 1, spots]] }));
}

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false, backlog: 4096 });
server.on("connection", (viewer) => viewer.on("error", () => {}));
server.on("listening", () => console.log(`ready ${server.address().port}`));

function publish(seconds, rate) {
  const begin = performance.now();
  let sent = 0;
  const step = () => {
    if (sent >= seconds * rate) return console.log(`sent ${sent}`);
    const payload = message(nowUs());
    for (const viewer of server.clients) viewer.send(payload, { binary: false });
    sent++;
    setTimeout(step, Math.max(0, begin + (sent * 1000) / rate - performance.now()));
  };
  step();
}

const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  const [, seconds, rate] = line.split(" ");
  publish(Number(seconds), Number(rate));
});
input.on("close", () => process.exit(0));
