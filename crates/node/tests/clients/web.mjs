// OpenFeature's web SDK with its OFREP provider and its event stream: `node web.mjs FOLDER URL`. Prints a JSON object when it
// is ready and whenever flags have changed, until its standard input ends.
import { createRequire } from "node:module";

const [folder, baseUrl] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
globalThis.EventSource = require("eventsource").EventSource;
const { OpenFeature, ProviderEvents } = require("@openfeature/web-sdk");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");

const client = OpenFeature.getClient();
const show = (what, flagsChanged) => {
  const all = client.getBooleanDetails("all", false);
  const api = client.getStringValue("plugin/api", "none");
  console.log(JSON.stringify({ what, flagsChanged, all, api }));
};
await OpenFeature.setContext({ targetingKey: "user-1" });
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl }));
client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => show("changed", flagsChanged));
show("ready");
process.stdin.on("end", () => process.exit(0)).resume();
