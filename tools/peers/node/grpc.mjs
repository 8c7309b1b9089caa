// Calls a gRPC server through an edge by grpc-js, and says what passed. Messages are put together by
// hand: the server's are those of google.protobuf's wrappers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const grpc = createRequire(import.meta.url)("@grpc/grpc-js");
const at = JSON.parse(process.argv[2]);
const large = 4 << 20;

function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return Buffer.from([...out, n]);
}
const number = (n) => (n ? Buffer.concat([Buffer.from([8]), varint(n)]) : Buffer.alloc(0));
// As protobuf has it, an empty field is not there.
const message = (data) => (data.length ? Buffer.concat([Buffer.from([10]), varint(data.length), data]) : data);

const bytes = { requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b };
const methods = {};
for (const [name, requestStream, responseStream] of [["Unary"], ["Fail"], ["Wait"], ["NoSuch"], ["Down", false, true], ["Up", true, false], ["Both", true, true]]) {
  methods[name] = { path: "/mezu.test.Echo/" + name, requestStream: !!requestStream, responseStream: !!responseStream, ...bytes };
}
const Echo = grpc.makeGenericClientConstructor(methods, "Echo");
const client = new Echo(`127.0.0.1:${at.port}`, grpc.credentials.createSsl(readFileSync(at.ca)), {
  "grpc.ssl_target_name_override": at.host,
  "grpc.default_authority": at.host,
  "grpc.max_receive_message_length": 8 << 20,
  "grpc.max_send_message_length": 8 << 20,
});

// unary makes a call, and gives all that comes of it.
function unary(method, data, metadata = new grpc.Metadata(), options = {}) {
  return new Promise((done) => {
    const out = {};
    out.call = client[method](data, metadata, options, (err, reply) => Object.assign(out, { err, reply }));
    out.call.on("metadata", (m) => (out.metadata = m));
    out.call.on("status", (status) => setImmediate(() => done(Object.assign(out, { status }))));
  });
}

// collect gives the messages of a stream and its status.
function collect(call) {
  return new Promise((done) => {
    const out = { messages: [] };
    call.on("data", (m) => out.messages.push(m));
    call.on("error", () => {});
    call.on("status", (status) => setImmediate(() => done(Object.assign(out, { status }))));
  });
}

const cases = {
  async unary() {
    const md = new grpc.Metadata();
    md.add("tag", "one");
    md.add("tag-bin", Buffer.from([0, 1, 254]));
    const x = await unary("Unary", message(Buffer.alloc(5000, "x")), md);
    assert.ifError(x.err);
    assert.deepEqual(x.reply, message(Buffer.alloc(5000, "x")));
    assert.deepEqual(x.metadata.get("seen-tag"), ["one"]);
    assert.deepEqual(x.metadata.get("seen-tag-bin"), [Buffer.from([0, 1, 254])]);
    assert.deepEqual(x.status.metadata.get("end"), ["yes"]);
    assert.deepEqual(x.status.metadata.get("end-bin"), [Buffer.from([0, 255])]);
  },
  async large() {
    const data = message(Buffer.alloc(large, "m"));
    const x = await unary("Unary", data);
    assert.ifError(x.err);
    assert.ok(data.equals(x.reply));
  },
  async status() {
    const x = await unary("Fail", Buffer.alloc(0));
    assert.equal(x.status.code, grpc.status.FAILED_PRECONDITION);
    assert.equal(x.status.details, "not now: 100 % sure, naïve\n");
    assert.deepEqual(x.status.metadata.get("why"), ["because"]);
    assert.equal(x.status.metadata.get("details")[0].length, 20 << 10);
    assert.equal((await unary("NoSuch", Buffer.alloc(0))).status.code, grpc.status.UNIMPLEMENTED);
  },
  async down() {
    const all = await collect(client.Down(number(3000)));
    assert.equal(all.status.code, grpc.status.OK);
    assert.deepEqual(all.messages, Array.from({ length: 3000 }, (_, i) => number(i)));
    const some = await collect(client.Down(number(13)));
    assert.equal(some.status.code, grpc.status.DATA_LOSS);
    assert.equal(some.messages.length, 13);
    assert.deepEqual(some.status.metadata.get("sent"), ["13"]);
  },
  async up() {
    let want = 0;
    const reply = await new Promise((done, failed) => {
      const call = client.Up((err, got) => (err ? failed(err) : done(got)));
      for (let i = 0; i < 200; i++) {
        call.write(message(Buffer.alloc((i * 37) % 20000)));
        want += (i * 37) % 20000;
      }
      call.end();
    });
    assert.deepEqual(reply, number(want));
  },
  async both() {
    const call = client.Both();
    for (let i = 0; i < 100; i++) {
      const sent = message(Buffer.alloc(i * 53, i));
      const came = new Promise((done) => call.once("data", done));
      call.write(sent);
      assert.deepEqual(await came, sent);
    }
    const ended = new Promise((done) => call.once("status", done));
    call.resume();
    call.end();
    assert.equal((await ended).code, grpc.status.OK);
  },
  async cancel() {
    const waiting = client.Wait(Buffer.alloc(0), () => {});
    const given = new Promise((done) => waiting.on("status", done));
    setImmediate(() => waiting.cancel());
    assert.equal((await given).code, grpc.status.CANCELLED);
    const call = client.Both();
    const status = new Promise((done) => call.once("status", done));
    call.on("error", () => {});
    const came = new Promise((done) => call.once("data", done));
    call.write(message(Buffer.from("x")));
    await came;
    call.cancel();
    assert.equal((await status).code, grpc.status.CANCELLED);
    const down = client.Down(number(1 << 20));
    const ended = collect(down);
    await new Promise((done) => down.once("data", done));
    down.cancel();
    assert.equal((await ended).status.code, grpc.status.CANCELLED);
  },
  async deadline() {
    const x = await unary("Wait", Buffer.alloc(0), new grpc.Metadata(), { deadline: Date.now() + 500 });
    // The server gives up at the same time, which is a 502 if it is seen first.
    assert.ok([grpc.status.DEADLINE_EXCEEDED, grpc.status.UNAVAILABLE].includes(x.status.code), String(x.status.code));
  },
};

for (const name of at.cases) {
  await cases[name]();
  console.log("passed " + name);
}
client.close();
