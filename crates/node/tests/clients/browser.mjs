// A browser's own EventSource: `node browser.mjs FOLDER CHROMIUM URL`. Prints the type and id of each message of /v1/events,
// and when it is connected or connects again, until its standard input ends.
import { createRequire } from "node:module";

const [folder, executablePath, url] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const puppeteer = require("puppeteer-core");

const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const page = await browser.newPage();
await page.exposeFunction("tell", (what, id) => console.log(JSON.stringify({ what, id })));
await page.goto(`${url}/livez`);
await page.evaluate(() => {
  const events = new EventSource("/v1/events?from=9");
  for (const type of ["hello", "block", "tip", "reset"]) {
    events.addEventListener(type, ({ lastEventId }) => tell(type, lastEventId));
  }
  events.addEventListener("error", () => tell("error", String(events.readyState)));
});
process.stdin.on("end", () => browser.close().then(() => process.exit(0))).resume();
