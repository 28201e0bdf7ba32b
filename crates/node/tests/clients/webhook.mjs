// Receives webhooks with the packages standardwebhooks and cloudevents, and prints what it makes of each request.
// Arguments: the folder of the packages, then as JSON: the shared secret, the raw public key in hex, and the statuses of
// the first answers.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { createPublicKey, verify } from "node:crypto";

const require = createRequire(process.argv[2] + "/");
const { Webhook } = require("standardwebhooks");
const { HTTP } = require("cloudevents");
const { secret, key, statuses } = JSON.parse(process.argv[3]);

const publicKey = createPublicKey({
  key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(key, "hex")]),
  format: "der",
  type: "spki",
});

// Whether one of the signatures is that of the key: the package knows the shared secret only.
const isSignedByKey = (headers, body) => {
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const parts = headers["webhook-signature"].split(" ").filter((part) => part.startsWith("v1a,"));
  return parts.some((part) => verify(null, signed, publicKey, Buffer.from(part.slice(4), "base64")));
};

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    const seen = { id: request.headers["webhook-id"], body };
    try {
      new Webhook(secret).verify(body, request.headers);
      seen.shared = true;
      seen.key = isSignedByKey(request.headers, body);
      try {
        new Webhook(secret).verify(body + " ", request.headers);
      } catch {
        seen.tampered = "refused";
      }
      const event = HTTP.toEvent({ headers: request.headers, body });
      event.validate();
      Object.assign(seen, { type: event.type, source: event.source, subject: event.subject, event: event.id, data: event.data });
    } catch (error) {
      seen.error = String(error);
    }
    const status = statuses.shift() ?? 204;
    seen.status = status;
    console.log(JSON.stringify(seen));
    response.writeHead(status, status === 302 ? { location: "http://127.0.0.1:1/elsewhere" } : {});
    response.end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
