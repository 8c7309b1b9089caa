// Speaks HTTP/2 with an edge by Node's own client, and says what passed.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { connect, constants } from "node:http2";
import { text } from "node:stream/consumers";

const at = JSON.parse(process.argv[2]);

function session(port = at.port) {
  const s = connect(`https://${at.host}:${port}`, { ca: readFileSync(at.ca), lookup: (_name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)) });
  s.on("error", (err) => { throw err; });
  return s;
}

// ask sends a request. What comes is there when the promise of its field is kept.
function ask(s, path, fields = {}, options = {}) {
  const to = at.h2c ? { "x-workload": "h2c" } : {};
  const stream = s.request({ ":path": path, ...to, ...fields }, options);
  const out = { stream, hints: [], trailers: {} };
  stream.on("headers", (h) => out.hints.push(h));
  stream.on("trailers", (h) => (out.trailers = h));
  out.head = new Promise((done, failed) => { stream.on("response", done); stream.on("error", failed); });
  out.closed = new Promise((done) => stream.on("close", () => done(stream.rstCode)));
  return out;
}

// read gives the head, the length and the digest of a response.
async function read(x) {
  const hash = createHash("sha256");
  const status = (await x.head)[":status"];
  let length = 0;
  for await (const piece of x.stream) { hash.update(piece); length += piece.length; }
  await x.closed;
  return { status, length, sum: hash.digest("hex") };
}

function upload(s, path, fields = {}) {
  const x = ask(s, path, { ":method": "POST", "content-length": at.length, ...fields });
  createReadStream(at.file).pipe(x.stream);
  return x;
}

const cases = {
  async upload(s) {
    const x = upload(s, "/sum");
    assert.equal(await text(x.stream), `${at.length} ${at.sum}`);
  },
  async download(s) {
    assert.deepEqual(await read(ask(s, "/parts/bytes")), { status: 200, length: at.length, sum: at.sum });
  },
  // An answer before the end of the upload arrives whole, and the upload ends without an error.
  async early(s) {
    const x = upload(s, "/parts/early");
    const got = await read(x);
    assert.equal(got.status, 413);
    assert.equal(got.length, at.early);
    assert.equal(x.stream.rstCode, constants.NGHTTP2_NO_ERROR);
  },
  async head(s) {
    const x = ask(s, "/file", { ":method": "HEAD" });
    assert.equal((await x.head)["content-length"], "36");
    assert.equal((await read(x)).length, 0);
  },
  async "not-modified"(s) {
    const x = ask(s, "/file", { "if-none-match": '"v1"' });
    const got = await read(x);
    assert.equal(got.status, 304);
    assert.equal(got.length, 0);
  },
  async hints(s) {
    const x = ask(s, "/hints");
    assert.equal(await text(x.stream), "final");
    assert.deepEqual(x.hints.map((h) => h[":status"]), [103, 103]);
  },
  // The body goes out when the workload has asked for it.
  async continue(s) {
    const x = ask(s, "/sum", { ":method": "POST", expect: "100-continue", "content-length": at.length });
    await new Promise((done) => x.stream.on("continue", done));
    createReadStream(at.file).pipe(x.stream);
    assert.equal(await text(x.stream), `${at.length} ${at.sum}`);
  },
  async trailers(s) {
    // The workload of HTTP/2 is net/http's server, which drops those that were not announced.
    for (const announced of at.h2c ? [true] : [true, false]) {
      const x = ask(s, "/parts/trailers", { ":method": "POST", ...(announced ? { trailer: "x-sent" } : {}) }, { waitForTrailers: true });
      x.stream.on("wantTrailers", () => x.stream.sendTrailers({ "x-sent": "yes" }));
      x.stream.end("body");
      assert.deepEqual(JSON.parse(await text(x.stream)), { length: 4, trailers: { "X-Sent": ["yes"] } });
      await x.closed;
      assert.equal(x.trailers["x-sum"], "42");
      assert.equal(x.trailers["x-late"], "also");
    }
  },
  async concurrent(s) {
    const all = [];
    for (let i = 0; i < 90; i++) all.push(read(ask(s, `/bytes/${(i % 9) * 20000}`)));
    for (const [i, got] of (await Promise.all(all)).entries()) {
      assert.equal(got.status, 200);
      assert.equal(got.length, (i % 9) * 20000);
    }
  },
  // What is given up ends nothing beside it.
  async cancel(s) {
    const beside = ask(s, "/parts/bytes");
    for (let i = 0; i < 20; i++) {
      const x = ask(s, "/hold");
      x.head.catch(() => {});
      x.stream.on("error", () => {});
      await new Promise((done) => setImmediate(done));
      x.stream.close(constants.NGHTTP2_CANCEL);
      await x.closed;
    }
    const begun = ask(s, "/parts/bytes");
    await begun.head;
    begun.stream.close(constants.NGHTTP2_CANCEL);
    await begun.closed;
    assert.deepEqual(await read(beside), { status: 200, length: at.length, sum: at.sum });
  },
};

// One connection carries all.
const s = session();
for (const name of at.cases) {
  await cases[name](s);
  console.log("passed " + name);
}
s.close();
