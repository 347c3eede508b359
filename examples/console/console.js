// Shows the state of the simulated AWS, sends what is pressed, and does for the router's page what CloudWatch does for a widget.
"use strict";

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const dark = matchMedia("(prefers-color-scheme: dark)");
let state;
let last = Promise.resolve();
let waiting = 0;

// Times are shown in the browser's time zone, with its offset at the simulated time, as on the router's page.
const minutesAhead = () => -new Date(state.now).getTimezoneOffset();
const pad = (number) => String(number).padStart(2, "0");
const offset = () => {
  const minutes = Math.abs(minutesAhead());
  return `${minutesAhead() < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
};
const time = (milliseconds) => new Date(milliseconds + minutesAhead() * 60_000).toISOString().slice(0, 16).replace("T", " ");

function element(name, text, ...classes) {
  const made = document.createElement(name);
  made.textContent = text ?? "";
  made.classList.add(...classes);
  return made;
}

// What a person is told, in contrast to a fault of this script.
class Told extends Error {}

// The answer as JSON, or as HTML if that is what the function returned. An error says the server's sentence.
async function request(path, body) {
  const how = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, how).catch(() => {
    throw new Told("The console does not answer. Start it again: cargo run --example console");
  });
  const isHtml = response.headers.get("Content-Type")?.startsWith("text/html");
  const answer = isHtml ? await response.text() : await response.json();
  if (!response.ok) throw new Told(answer.said);
  return answer;
}

const say = (sentence) => { byId("said").textContent = sentence; };

// One after another, in the order in which it was asked for.
function alone(work) {
  waiting += 1;
  byId("columns").setAttribute("aria-busy", "true");
  last = last.then(work).catch((error) => {
    say(error.message);
    if (!(error instanceof Told)) console.error(error);
  }).finally(() => {
    waiting -= 1;
    if (waiting === 0) byId("columns").removeAttribute("aria-busy");
  });
  return last;
}

async function showState() {
  state = await request("/state.json");
  byId("clock").textContent = `${time(state.now)} (UTC${offset()})`;
  byId("clock").dateTime = new Date(state.now).toISOString();
  for (const control of all("button[data-control]")) {
    const whyNot = state.controls[control.dataset.control];
    control.setAttribute("aria-disabled", String(whyNot !== null));
    control.title = whyNot ?? "";
  }
  for (const control of all("input[data-control]")) control.checked = state[control.dataset.state];
  for (const shown of all("[data-alarm]")) shown.textContent = `is ${state.alarms[shown.dataset.alarm]}`;
  for (const shown of all("[data-guard]")) shown.textContent = state.guards[shown.dataset.guard] ? "is enabled" : "is disabled";
  byId("code-waits").hidden = !state.codeWaits;
  showRunning();
  showInvocations();
}

function showRunning() {
  const select = byId("execution");
  const chosen = select.value;
  const options = state.running.map(({ arn, id, name }) => new Option(name ? `${id} (${name})` : id, arn));
  select.replaceChildren(...(options.length ? options : [new Option("none runs", "")]));
  if (state.running.some(({ arn }) => arn === chosen)) select.value = chosen;
  select.disabled = options.length === 0;
}

// A row that is there already stays, so that what was opened stays open. The newest row may stand for more heartbeats than before.
function showInvocations() {
  const body = byId("invocations");
  const old = new Map(all("tr[data-id]", body).map((row) => [row.dataset.id, row]));
  const rows = state.invocations.map((invocation) => {
    const row = old.get(String(invocation.id));
    return row?.dataset.count === String(invocation.count) ? row : rowOf(invocation);
  });
  if (rows.length) body.replaceChildren(...rows);
}

function details(summary, json) {
  const shown = element("details");
  shown.append(element("summary", summary), element("pre", typeof json === "string" ? json : JSON.stringify(json, null, 2)));
  return shown;
}

function rowOf({ id, count, first, last, name, event, action, reason, error, warnings, answer, calls }) {
  const row = element("tr");
  Object.assign(row.dataset, { id, count });
  // The day is there once if both times have the same.
  const [until, sameDay] = [time(last), time(first).slice(0, 10) === time(last).slice(0, 10)];
  const when = element("td", count > 1 ? `${time(first)} to ${sameDay ? until.slice(11) : until}` : until);
  const what = element("td", count > 1 ? `${count} × ${name}` : name);
  what.append(details("event as JSON", event));
  const answered = element("td");
  if (action) answered.append(element("b", action));
  if (reason) answered.append(`: ${reason}`);
  if (error) answered.append(element("b", `failed: ${error}`, "error"));
  for (const warning of warnings) answered.append(element("p", `Warning: ${warning}`, "error"));
  answered.append(details(typeof answer === "string" ? "answer as HTML" : "answer as JSON", answer));
  const called = element("td", calls.length ? "" : "none");
  // A line for each run of calls that only read, or that change something. Reads of one operation in a line are counted.
  let list;
  for (const [index, { service, operation, onlyReads, error: refused }] of calls.entries()) {
    if (calls[index - 1]?.onlyReads !== onlyReads) called.append(list = element("ol", "", "calls"));
    const same = all("li", list).find((item) => onlyReads && !refused && item.dataset.read === operation);
    if (same) {
      same.dataset.times = Number(same.dataset.times) + 1;
      same.firstChild.textContent = `${operation} ×${same.dataset.times}`;
      continue;
    }
    const item = element("li");
    item.append(element(onlyReads ? "span" : "b", operation, onlyReads ? "read" : "write"));
    item.title = `${service}, ${onlyReads ? "only reads" : "changes AWS"}`;
    if (refused) item.append(element("span", ` ${refused}`, "error"));
    else if (onlyReads) Object.assign(item.dataset, { read: operation, times: 1 });
    list.append(item);
  }
  row.append(when, what, answered, called);
  return row;
}

const widgetContext = () => ({
  dashboardName: "console",
  widgetId: "console",
  locale: "en",
  theme: dark.matches ? "dark" : "light",
  timezone: { label: "Local", offsetISO: offset(), offsetInMinutes: minutesAhead() },
  width: byId("widget").clientWidth,
  params: {},
});

// The function's HTML. CloudWatch does the same with an answer that is no HTML: it shows the JSON.
function showPage(answer) {
  const widget = byId("widget");
  if (typeof answer !== "string") return widget.replaceChildren(element("pre", JSON.stringify(answer, null, 2)));
  widget.innerHTML = answer;
  for (const action of all('cwdb-action[action="call"]', widget)) {
    const button = action.previousElementSibling;
    if (!button) continue;
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.addEventListener("click", () => pressOnPage(action));
    button.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Enter" && pressed.key !== " ") return;
      pressed.preventDefault();
      pressOnPage(action);
    });
  }
}

const view = async () => showPage(await request("/widget", { widgetContext: widgetContext() }));

const pressOnPage = (action) => alone(async () => {
  const question = action.getAttribute("confirmation");
  if (question && !(await confirmed(question))) return;
  const call = { endpoint: action.getAttribute("endpoint"), payload: JSON.parse(action.textContent) };
  showPage(await request("/widget", { ...call, widgetContext: widgetContext() }));
  await showState();
  say(state.said);
});

function confirmed(question) {
  const dialog = byId("confirm");
  byId("confirm-text").textContent = question;
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "confirm"), { once: true });
  });
}

// The fields of a control's body: `execution` is the value of the field of that id, `step=failed-step` of the field `failed-step`.
const body = (control) => Object.fromEntries((control.dataset.with ?? "").split(" ").filter(Boolean).map((pair) => {
  const [field, id = field] = pair.split("=");
  return [field, byId(id).value];
}));

function press(control) {
  const { control: on, off } = control.dataset;
  const name = off && !control.checked ? off : on;
  // A control that does nothing now keeps the focus, and says why.
  if (control.getAttribute("aria-disabled") === "true") return say(control.title);
  return alone(async () => {
    try {
      say((await request(`/controls/${name}`, body(control))).said);
    } finally {
      await showState();
    }
    await view();
  });
}

for (const control of all("button[data-control]")) control.addEventListener("click", () => press(control));
for (const control of all("input[data-control]")) control.addEventListener("change", () => press(control));

// The page follows the theme, and the width once it has stopped changing.
dark.addEventListener("change", () => alone(view));
let shownWidth;
let timer;
new ResizeObserver(() => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const width = byId("widget").clientWidth;
    if (state && width !== shownWidth) alone(view);
    shownWidth = width;
  }, 200);
}).observe(byId("widget"));

alone(async () => {
  await showState();
  if (state.said) say(state.said);
  shownWidth = byId("widget").clientWidth;
  await view();
});
