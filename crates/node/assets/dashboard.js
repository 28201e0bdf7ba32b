// The dashboard without this script is whole, but does not follow the ledger, and does not verify what the node says.
"use strict";

const script = document.currentScript;

// ---- Live: the content of the same page in place of the old one, whenever something has happened.

/** The shortest time between two requests for the page, in milliseconds. */
const PAUSE = 1000;
/** How long the page waits before it asks again for a stream that was refused. */
const RETRY = 5000;

/** Makes `old` the same as `fresh`, and keeps every node that can stay: with it focus, selection and scroll places. */
function renew(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const rest = [...old.childNodes];
  const isSame = (node, other) =>
    node.nodeType === other.nodeType && node.nodeName === other.nodeName && (node.id ?? "") === (other.id ?? "");
  for (const node of [...fresh.childNodes]) {
    const at = rest.findIndex((other) => isSame(other, node));
    if (at < 0) {
      old.insertBefore(document.importNode(node, true), rest[0] ?? null);
      continue;
    }
    // What was before it is not there any more.
    for (const gone of rest.splice(0, at)) gone.remove();
    const kept = rest.shift();
    if (node.nodeType === Node.ELEMENT_NODE) renew(kept, node);
    else if (kept.nodeValue !== node.nodeValue) kept.nodeValue = node.nodeValue;
  }
  for (const gone of rest) gone.remove();
}

function follow(main) {
  const live = document.getElementById("live");
  let isDue = false;
  let isBusy = false;

  const say = (words, style) => {
    if (live.textContent !== words) live.textContent = words;
    live.className = style;
  };

  const load = async () => {
    if (isBusy || document.hidden) {
      isDue = true;
      return;
    }
    isBusy = true;
    isDue = false;
    try {
      const answer = await fetch(location.href.split("#")[0], { headers: { accept: "text/html" }, cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const [tip, content] = [page.getElementById("tip"), page.getElementById("main")];
        if (tip && content) {
          renew(document.getElementById("tip"), tip);
          renew(main, content);
          document.title = page.title;
        }
      } else if (answer.status === 503) {
        isDue = true;
      }
    } catch {
      // The node is away for a moment: the stream says when it is back.
      isDue = true;
    }
    setTimeout(() => {
      isBusy = false;
      if (isDue && live.className === "is-live") load();
    }, PAUSE);
  };

  let events = null;
  const open = () => {
    events = new EventSource("/v1/events");
    events.addEventListener("open", () => say("live", "is-live"));
    for (const kind of ["block", "reset"]) events.addEventListener(kind, load);
    // These tell the height, which the page may have.
    for (const kind of ["hello", "tip"]) {
      events.addEventListener(kind, (event) => {
        const { tip } = JSON.parse(event.data);
        if (String(tip ?? "") !== document.getElementById("tip").dataset.height) load();
      });
    }
    events.addEventListener("error", () => {
      say("connecting again", "is-lost");
      if (events?.readyState !== EventSource.CLOSED) return;
      // The node has refused the stream, which a browser does not ask for again by itself.
      close();
      setTimeout(() => {
        if (!document.hidden && !events) open();
      }, RETRY);
    });
  };
  const close = () => {
    events?.close();
    events = null;
  };
  // A browser makes few connections to a node: a page that nobody looks at must not hold one of them.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!events) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted && !events) open();
  });
  if (!document.hidden) open();
}

// ---- Verified: the proof of the answer, checked here and not by the node.

const [REFUSED, , ON] = [0, 1, 2];
const END = 256;

async function verifier() {
  const { instance } = await WebAssembly.instantiateStreaming(fetch(script.dataset.proof), {});
  const { clear, push, verify, answer } = instance.exports;
  return (question) => {
    clear();
    for (const byte of new TextEncoder().encode(question)) push(byte);
    const result = verify();
    const words = [];
    for (let byte = answer(0); byte !== END; byte = answer(words.length)) words.push(byte);
    return { result, words: new TextDecoder().decode(new Uint8Array(words)) };
  };
}

async function ask(path, parameters) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`the node answers ${answer.status} to ${path}`);
  return answer.json();
}

/** The proof, and the root of the block that it is about; blocks may pass between the two questions. */
async function evidence(feature, user, trusted) {
  for (let times = 0; times < 5; times += 1) {
    const proof = await ask("/v1/proof/is-enabled", { feature, user });
    // Beside the bundle there may be the node's signature of the root.
    const bundle = proof.bundle ?? proof;
    if (trusted) return { bundle, root: trusted };
    const { root } = await ask("/v1/status", {});
    if (root === bundle.root) return { bundle, root };
  }
  throw new Error("blocks come too fast to compare the proof with the root of one");
}

/** The address of a targeting key; none where the browser hashes nothing, as on a page that is not secure. */
async function addressOf(key) {
  if (!crypto.subtle) return null;
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`coalmine/targeting/1${key}`));
  return `0x${[...new Uint8Array(hash, 0, 20)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function put(element, style, ...parts) {
  element.className = style;
  element.replaceChildren(...parts.map((part) => {
    if (typeof part === "string") return part;
    const child = document.createElement(part.tag);
    child.textContent = part.text;
    return child;
  }));
}

async function check(section) {
  const { feature, user, key, root: trusted } = section.dataset;
  const verdict = document.getElementById("verdict");
  const verified = document.getElementById("verified");
  const strong = (text) => ({ tag: "strong", text });
  const code = (text) => ({ tag: "code", text });
  put(verified, "notice", "Verifying the proof in your browser …");
  try {
    const address = key ? await addressOf(key) : user;
    if (address && address !== user) throw new Error(`the key ${key} stands for ${address}, not for ${user}`);
    const [said, verifies, { bundle, root }] =
      await Promise.all([ask("/v1/check", { feature, user }), verifier(), evidence(feature, user, trusted)]);
    const { result, words } = verifies(`${root}\n${feature}\n${user}\n${JSON.stringify(bundle)}`);
    if (result === REFUSED) {
      verdict.className = "verdict refused";
      put(verified, "notice bad", strong("Refused: the proof does not hold"), ` (${words}). Do not rely on this answer.`);
      return;
    }
    const isOn = result === ON;
    verdict.textContent = isOn ? "on" : "off";
    verdict.className = `verdict ${isOn ? "on" : "off"}`;
    const whose = trusted ? "the root that you gave" : "the root that this node names for that block";
    const more = said.on === isOn ? "" : " In the meantime the answer has changed: check again.";
    const unhashed = address ? "" : " That the address is the one of the key was not verified: this page is not secure.";
    put(verified, "notice good", strong("Verified in your browser:"),
      ` the records behind this answer hash to ${whose}, `, code(root), `, as of block ${bundle.height}. The verdict: `,
      code(words), `.${more}${unhashed}`);
  } catch (error) {
    put(verified, "notice bad", strong("It could not be verified in your browser:"),
      ` ${error.message}. What stands above is the word of this node.`);
  }
}

const main = document.getElementById("main");
if (main.hasAttribute("data-live")) follow(main);
const section = document.getElementById("answer");
if (section) check(section);
