// The live tail of the sandbox's page. The server writes all HTML, escaped; this puts it in place without touching what
// the reader has selected, opened, focused or scrolled to.
"use strict";

const MAX_ROWS = 200;
const SEARCH_DELAY_MS = 250;
const element = (id) => document.getElementById(id);
const main = element("main"), rows = element("rows"), form = element("search"), call = element("call");
const list = document.querySelector(".list"), live = element("live"), pauseButton = element("pause");

let cursor = document.body.dataset.cursor; // up to which call the list is told
let stream = null, isPaused = false, callsWhilePaused = 0;

// ---- where the reader is -------------------------------------------------------------------------------------------

const searched = () => {
  const given = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...given]) if (!value.trim()) given.delete(name);
  return given;
};
const address = (callId) => {
  const given = searched();
  if (callId) given.set("call", callId);
  return String(given) ? `/?${given}` : "/";
};
const openedId = () => call.hidden ? "" : call.dataset.id || new URLSearchParams(location.search).get("call") || "";
const selectedIn = (node) => {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(node, true);
};

// ---- putting new HTML in place -------------------------------------------------------------------------------------

const parsed = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
};
const morph = (old, wanted) => { // changes only what differs, so that focus, selection and open details stay
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName) return old.replaceWith(wanted);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name, value } of wanted.attributes ?? []) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes ?? []]) {
    if (!wanted.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  morphChildren(old, wanted);
};
const morphChildren = (old, wanted) => {
  const before = [...old.childNodes], after = [...wanted.childNodes];
  after.forEach((node, place) => place < before.length ? morph(before[place], node) : old.append(node));
  before.slice(after.length).forEach((node) => node.remove());
};

const keepInPlace = (change) => { // a reader who has scrolled or selected does not lose the place
  const top = list.getBoundingClientRect().top, all = [...rows.children];
  const anchor = all.find(selectedIn)
    ?? (list.scrollTop > 0 ? all.find((row) => row.getBoundingClientRect().bottom > top) : null);
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (anchor?.isConnected) list.scrollTop += anchor.getBoundingClientRect().top - before;
};
const listCalls = ({ replace, rows: html, found }) => keepInPlace(() => {
  if (replace) rows.replaceChildren(parsed(html));
  else rows.prepend(parsed(html));
  for (const row of [...rows.children].slice(MAX_ROWS)) {
    if (!selectedIn(row) && !row.hasAttribute("aria-current")) row.remove();
  }
  if (found !== null) element("found").textContent = found;
  markOpened();
});
const markOpened = () => {
  const opened = openedId();
  for (const row of rows.children) {
    if (opened && row.dataset.id === opened) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
};

// ---- the stream ----------------------------------------------------------------------------------------------------

const showLive = () => {
  const isOn = stream?.readyState === EventSource.OPEN;
  live.className = isOn && !isPaused ? "on" : isOn ? "" : "off";
  live.textContent = !isOn ? "not live: the sandbox does not answer; trying again"
    : isPaused ? `paused: ${callsWhilePaused.toLocaleString("en")} new calls` : "live";
  pauseButton.textContent = isPaused ? "Continue" : "Pause";
};
const connect = () => {
  stream?.close();
  callsWhilePaused = 0;
  const given = searched();
  if (cursor) given.set("since", cursor);
  stream = new EventSource(`/_sandbox/page/events?${given}`);
  stream.addEventListener("open", showLive);
  stream.addEventListener("error", () => {
    showLive();
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
  stream.addEventListener("calls", (event) => {
    const news = JSON.parse(event.data);
    if (isPaused) callsWhilePaused += news.calls;
    else {
      cursor = event.lastEventId;
      listCalls(news);
    }
    showLive();
  });
  stream.addEventListener("state", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) morphChildren(element(id), parsed(html));
  });
};
pauseButton.addEventListener("click", () => {
  isPaused = !isPaused;
  if (!isPaused) connect(); // from where the list ends
  showLive();
});
document.addEventListener("visibilitychange", () => { // browsers open few connections to one host
  if (document.hidden) stream.close();
  else connect();
});

// ---- search --------------------------------------------------------------------------------------------------------

let searchTimer = 0;
const search = () => {
  clearTimeout(searchTimer);
  element("clear").hidden = !String(searched());
  history.replaceState(null, "", address(openedId()));
  cursor = ""; // all matching calls, from the beginning
  isPaused = false;
  connect();
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(search, SEARCH_DELAY_MS);
});
element("clear").addEventListener("click", (event) => {
  event.preventDefault();
  for (const field of form.elements) if (field.name) field.value = "";
  search();
});

// ---- one call ------------------------------------------------------------------------------------------------------

const openCall = async (id) => {
  const answer = await fetch(`/_sandbox/page/call/${encodeURIComponent(id)}?${searched()}`).catch(() => null);
  if (!answer?.ok) {
    element("found").textContent = "The call cannot be opened: the sandbox does not answer.";
    return;
  }
  call.replaceChildren(parsed(await answer.text()));
  call.dataset.id = id;
  call.hidden = false;
  main.classList.add("with-call");
  history.replaceState(null, "", address(id));
  markOpened();
  call.querySelector("h2").focus({ preventScroll: true });
  if (call.getBoundingClientRect().top < 0 || matchMedia("(max-width: 820px)").matches) call.scrollIntoView();
};
const closeCall = () => {
  const row = rows.querySelector("[aria-current]");
  call.hidden = true;
  call.dataset.id = "";
  main.classList.remove("with-call");
  history.replaceState(null, "", address(""));
  markOpened();
  row?.querySelector("a").focus();
};
const isPlain = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
rows.addEventListener("click", (event) => {
  const id = event.target.closest("tr")?.dataset.id;
  if (!id || !isPlain(event) || !getSelection().isCollapsed) return;
  event.preventDefault();
  openCall(id);
});
call.addEventListener("click", (event) => {
  if (event.target.id !== "close" || !isPlain(event)) return;
  event.preventDefault();
  closeCall();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !call.hidden) closeCall();
  const row = event.target.closest?.("#rows tr");
  const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const link = row && next && row[next]?.querySelector("a");
  if (!link) return;
  event.preventDefault();
  link.focus();
});

// ---- faults --------------------------------------------------------------------------------------------------------

const ask = async (path, document, done) => {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document),
  }).catch(() => null);
  element("told").textContent = answer?.ok ? done : (await answer?.text()) ?? "The sandbox does not answer.";
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.play) {
    const seconds = Number(element("duration").value) || null;
    ask("/_sandbox/faults/play", { fault: button.dataset.play, seconds }, "Begun.");
  } else if (button?.dataset.end) {
    ask("/_sandbox/faults/end", { number: Number(button.dataset.end) }, "Ended.");
  }
});

element("controls").hidden = false;
element("submit").hidden = true; // the search follows what is typed
pauseButton.hidden = false;
connect();
