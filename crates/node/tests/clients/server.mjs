// OpenFeature's server SDK with its OFREP provider: `node server.mjs FOLDER URL`. Prints a JSON object for each evaluation.
import { createRequire } from "node:module";

const [folder, baseUrl] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { OpenFeature } = require("@openfeature/server-sdk");
const { OFREPProvider } = require("@openfeature/ofrep-provider");

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
const show = (details) => console.log(JSON.stringify(details));
for (const targetingKey of ["user-1", "0x3333333333333333333333333333333333333333"]) {
  for (const key of ["on", "off", "part", "child"]) {
    show(await client.getBooleanDetails(key, key === "off", { targetingKey, plan: { name: "pro" } }));
  }
}
show(await client.getStringDetails("plugin/api", "none", { targetingKey: "user-1" }));
show(await client.getBooleanDetails("part", true, {}));
show(await client.getBooleanDetails("pay/v2 x", true, { targetingKey: "user-1" }));
await OpenFeature.close();
