// Who the user of a request is, for a workload in Node: checks the header X-Mezu-Assertion.
//
//   const who = assertions("https://shop-acme.edge.example", "env_…");
//   const user = await who(request.headers["x-mezu-assertion"]); // or throws
//   user.sub, user.email, user.roles
//
// The URL and the id are those of your environment (mezu environments show).
import { createPublicKey, verify } from "node:crypto";

export function assertions(issuer, audience, keysURL = issuer + "/.mezu/jwks.json") {
  let keys = new Map(), asked = -Infinity, fetched = -Infinity, fetching;

  // key finds a key by its id, in a list that is not older than five minutes. A new Warpgate has a
  // new one, so that an unknown id is a reason to ask again, though not more often than every ten
  // seconds. While nobody answers the old list goes, for an hour: so long the key of a Warpgate
  // that is gone is listed.
  async function key(id) {
    const now = performance.now();
    if (now - fetched > (keys.has(id) ? 5 * 60_000 : 0) && now - asked > 10_000) {
      asked = now;
      fetching = fetchKeys(now).catch(console.error);
    }
    await fetching;
    if (!keys.has(id) || now - fetched > 60 * 60_000) throw new Error("signed by an unknown key");
    return keys.get(id);
  }

  async function fetchKeys(now) {
    const answer = await fetch(keysURL, { signal: AbortSignal.timeout(5_000) });
    if (!answer.ok) throw new Error("fetching the keys: " + answer.status);
    const usable = (await answer.json()).keys.filter((k) => k.kty === "OKP" && k.crv === "Ed25519" && k.alg === "EdDSA");
    keys = new Map(usable.map((k) => [k.kid, createPublicKey({ key: k, format: "jwk" })]));
    fetched = now;
  }

  return async function who(text) {
    const parts = typeof text === "string" && text.length <= 4096 ? text.split(".") : [];
    if (parts.length !== 3 || !parts.every((p) => /^[A-Za-z0-9_-]+$/.test(p))) throw new Error("no assertion");
    const [head, claims] = parts.slice(0, 2).map((p) => JSON.parse(Buffer.from(p, "base64url")));
    // The algorithm is fixed: what the assertion says of it decides nothing.
    if (head.alg !== "EdDSA" || head.typ !== "JWT" || Object.keys(head).length !== 3) throw new Error("no assertion of a Warpgate");
    const signed = Buffer.from(parts[0] + "." + parts[1]);
    if (!verify(null, signed, await key(head.kid), Buffer.from(parts[2], "base64url"))) throw new Error("the signature does not verify");
    const now = Date.now() / 1000;
    if (claims.iss !== issuer || claims.aud !== audience) throw new Error("of another environment");
    if (!(claims.exp > now)) throw new Error("expired");
    if (claims.nbf > now + 60 || claims.iat > now + 60) throw new Error("of the future");
    if (!claims.sub) throw new Error("names no user");
    return claims;
  };
}
