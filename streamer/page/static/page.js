// Puts the parts of the page in that the server sends. Nothing is rendered here.
// Nodes are changed in place, so that selection, scroll position, focus and open details stay.
"use strict";
(() => {
  const SILENT_MS = 4000; // the server sends something every second
  const RELOAD_MS = 5000;
  const STREAM_AGAIN_MS = 30000;

  const byId = (id) => document.getElementById(id);
  const PARTS = [...document.querySelectorAll("main > section, footer")].map((part) => part.id);

  let source = null;
  let reloading = 0; // the timer of the fallback
  let heardAt = Date.now(); // when the server last said something
  let version = ""; // of the server
  const kept = new Map(); // parts that could not be put in whole, because text in them is selected

  // --- changing nodes in place

  let selection = null;
  let isSelected = false; // whether the last part kept something because it is selected

  function holdsSelection(node) {
    const held = selection !== null && selection.containsNode(node, true);
    isSelected = isSelected || held;
    return held;
  }

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id : "");
  const isAlike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  function morph(old, fresh) {
    for (const { name } of [...old.attributes]) {
      const isOpen = name === "open" && old.nodeName === "DETAILS"; // the reader's
      if (!fresh.hasAttribute(name) && !isOpen) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  // A selection survives changes beside the nodes it is in, such as a new row, but not new siblings of selected text.
  function hasSameShape(old, fresh) {
    const [ours, theirs] = [[...old.childNodes], [...fresh.childNodes]];
    return ours.length === theirs.length && ours.every((child, place) => isAlike(child, theirs[place]));
  }

  const hasRows = (node) => [...node.childNodes].some((child) => keyOf(child) !== "");

  function morphChildren(old, fresh) {
    if (selection !== null && !hasRows(old) && !hasSameShape(old, fresh) && holdsSelection(old)) return;
    const wanted = new Set([...fresh.childNodes].map(keyOf));
    const keyed = new Map();
    for (const child of [...old.childNodes]) {
      const key = keyOf(child);
      if (key === "") continue;
      if (wanted.has(key)) keyed.set(key, child);
      else if (!holdsSelection(child)) child.remove();
    }
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      const key = keyOf(want);
      let have = key === "" ? at : keyed.get(key);
      if (!have || !isAlike(have, want)) {
        old.insertBefore(want, at);
        continue;
      }
      keyed.delete(key);
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      if (have.nodeType === Node.ELEMENT_NODE) morph(have, want);
      else if (have.nodeValue !== want.nodeValue && !holdsSelection(have)) have.nodeValue = want.nodeValue;
    }
    while (at) {
      const next = at.nextSibling;
      if (!holdsSelection(at)) at.remove();
      at = next;
    }
  }

  function put(id, html) {
    const old = byId(id);
    const template = document.createElement("template");
    template.innerHTML = html;
    const chosen = document.getSelection();
    selection = chosen && !chosen.isCollapsed && chosen.containsNode(old, true) ? chosen : null;
    isSelected = false;
    morphChildren(old, template.content);
    old.hidden = html === "";
    if (old.firstElementChild && byId(`${id}-title`)) old.setAttribute("aria-labelledby", `${id}-title`);
    if (isSelected) kept.set(id, html);
    else kept.delete(id);
  }

  function show(parts) {
    if (version !== "" && "version" in parts && parts.version !== version) location.reload(); // it was upgraded
    version = parts.version || version;
    for (const [id, html] of [...kept]) if (!(id in parts)) put(id, html);
    for (const id of PARTS) if (id in parts) put(id, parts[id]);
    if ("clock" in parts) put("clock", parts.clock);
    if ("title" in parts) document.title = parts.title;
    if ("icon" in parts) byId("icon").href = parts.icon;
    if ("level" in parts && document.documentElement.dataset.level !== parts.level) {
      document.documentElement.dataset.level = parts.level;
      byId("announcement").textContent = byId("verdict").textContent;
    }
  }

  // --- what the reader is told of the connection

  function say(text, live) {
    const notice = byId("connection");
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = text === "";
    byId("live").textContent = live;
    document.documentElement.dataset.connection = text === "" || live === "Reloaded" ? "up" : "down";
  }

  function onHeard(live, text = "") {
    heardAt = Date.now();
    const isKept = kept.size > 0 ? "Selected text stays as it was until you select nothing." : "";
    say([text, isKept].filter(Boolean).join(" "), live);
  }

  function lookAtSilence() {
    if (Date.now() - heardAt < SILENT_MS) return;
    const since = byId("clock").textContent;
    say(`No connection to streamer since ${since} UTC. What you see is as of then. Trying to connect again.`, "As of");
  }

  // --- the stream, and loading the page again where the server has no room for one more

  function stream() {
    source = new EventSource("page/events");
    source.onmessage = (event) => {
      clearInterval(reloading);
      reloading = 0;
      show(JSON.parse(event.data));
      onHeard("Live");
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      if (reloading === 0) {
        reloading = setInterval(reload, RELOAD_MS);
        reload();
      }
      setTimeout(stream, STREAM_AGAIN_MS);
    };
  }

  async function reload() {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const parts = Object.fromEntries([...PARTS, "clock"].map((id) => [id, fresh.getElementById(id).innerHTML]));
      parts.title = fresh.title;
      parts.icon = fresh.getElementById("icon").href;
      parts.level = fresh.documentElement.dataset.level;
      show(parts);
      onHeard("Reloaded", "Too many browsers watch this instance for live updates. This page reloads itself every 5 s.");
    } catch {
      // lookAtSilence says it
    }
  }

  setInterval(lookAtSilence, 1000);
  stream();
})();
