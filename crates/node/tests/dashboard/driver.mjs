// Drives a headless Chromium: a JSON object a line comes in, one goes out. `driver.rs` says what there is.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder, executablePath] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
// Machines that run all tests at once are slow.
const PATIENCE = 60_000;
let page = null;
let said = [];
let swaps = [];

const calls = {
  async open({ url, width, dark, scripts }) {
    await page?.close();
    page = await browser.newPage();
    page.setDefaultNavigationTimeout(PATIENCE);
    said = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warn") said.push(message.text());
    });
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("requestfailed", (request) => {
      // A stream of events ends with its page.
      if (!request.url().includes("/v1/events")) said.push(`${request.url()}: ${request.failure()?.errorText}`);
    });
    if (swaps.length > 0) {
      await page.setRequestInterception(true);
      page.on("request", async (request) => {
        const swap = swaps.find(({ path }) => new URL(request.url()).pathname === path);
        if (!swap) return request.continue();
        const answer = await fetch(request.url());
        const text = await answer.text();
        if (!text.includes(swap.from)) said.push(`nothing to tamper with in ${text}`);
        return request.respond({
          status: answer.status,
          contentType: answer.headers.get("content-type"),
          body: text.replace(swap.from, swap.to),
        });
      });
    }
    await page.setJavaScriptEnabled(scripts);
    await page.setViewport({ width, height: 800 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
    if (scripts) {
      await page.evaluateOnNewDocument(() => {
        window.forbidden = [];
        document.addEventListener("securitypolicyviolation", (event) => {
          window.forbidden.push(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`);
        });
      });
    }
    await page.goto(url, { waitUntil: "load" });
  },
  eval: ({ code }) => page.evaluate(code),
  wait: ({ code }) => page.waitForFunction(code, { timeout: PATIENCE, polling: 50 }).then(() => null),
  press: ({ key }) => page.keyboard.press(key),
  async follow({ selector }) {
    await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.click(selector)]);
  },
  tamper: (swap) => {
    swaps.push(swap);
  },
  async complaints() {
    const forbidden = await page.evaluate("window.forbidden ?? []");
    return [...said, ...forbidden];
  },
  async axe() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate("axe.run(document)");
    return violations.map(({ impact, id, help, nodes }) => ({
      impact: impact ?? "none",
      words: `${id}: ${help}: ${nodes.map((node) => `${node.html} (${node.failureSummary})`).join("; ")}`,
    }));
  },
  shoot: ({ file }) => page.screenshot({ path: file, fullPage: true }).then(() => null),
};

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  if (call.do === "end") break;
  let answer;
  try {
    answer = { value: (await calls[call.do](call)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
process.exit(0);
