// Has a request under way while an edge goes away: it is told so, the request ends whole, and only
// then does the connection end.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, constants } from "node:http2";
import { text } from "node:stream/consumers";

const at = JSON.parse(process.argv[2]);
const s = connect(`https://${at.host}:${at.port}`, { ca: readFileSync(at.ca), lookup: (_name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)) });
const gone = new Promise((done) => s.on("goaway", (code) => done(code)));
const closed = new Promise((done) => s.on("close", done));
const pausing = s.request({ ":path": "/parts/pausing" });
await new Promise((done) => pausing.once("readable", done));
assert.equal(String(pausing.read()), "first ");
console.log("begun");
assert.equal(await gone, constants.NGHTTP2_NO_ERROR);
console.log("told");
assert.equal(await text(pausing), "second");
assert.equal(pausing.rstCode, constants.NGHTTP2_NO_ERROR);
await closed;
console.log("passed goaway");
