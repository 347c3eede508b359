// Tells a story in the console (`cargo run --example console`), in a real browser: it presses every control, and reads what a person
// reads. It fails on any error in the browser, a request that fails, and a control that it does not press.
//
// node .ci/console.mjs DIRECTORY [--url URL] [--looks FOLDER] [--pictures FOLDER]
//   DIRECTORY has the package puppeteer-core. The browser is the variable CHROME, or an installed Chrome or Chromium.
//   Without --url, it starts target/debug/examples/console. The console has to be a new one: the story begins with nothing.
//   --looks writes pictures of the story's moments for a person to look at: narrow and wide, light and dark.
//   --pictures tells a shorter story, and writes the pictures of the documents: console.png and widget.png.
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { png } from "./png.mjs";

const { values: options, positionals: [directory] } = parseArgs({
  allowPositionals: true,
  options: { url: { type: "string" }, looks: { type: "string" }, pictures: { type: "string" } },
});
assert(directory, "name the directory that has puppeteer-core");
const puppeteer = createRequire(join(resolve(directory), "package.json"))("puppeteer-core");

function chrome() {
  const names = ["google-chrome", "google-chrome-stable", "chromium", "chromium-browser"];
  const found = () => execFileSync("sh", ["-c", names.map((name) => `command -v ${name}`).join(" || ")], { encoding: "utf8" });
  try {
    return process.env.CHROME ?? found().trim();
  } catch {
    throw new Error(`there is no Chrome: set CHROME, or install one of ${names.join(", ")}`);
  }
}

// The console on any free port, and how to end it.
async function startConsole() {
  const child = spawn("target/debug/examples/console", ["0"], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((found, failed) => {
    child.once("error", () => failed(new Error("build it first: cargo build --example console")));
    child.once("exit", (code) => failed(new Error(`the console ended with ${code}`)));
    child.stdout.on("data", (text) => {
      const [match] = String(text).match(/http:\S+/) ?? [];
      if (match) found(match);
    });
  });
  return { url, end: () => child.kill() };
}

const running = options.url ? { url: options.url, end() {} } : await startConsole();
const browser = await puppeteer.launch({
  executablePath: chrome(),
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const page = await browser.newPage();
const faults = [];
page.on("console", (message) => {
  if (["error", "warn", "assert"].includes(message.type())) faults.push(`console: ${message.text()}`);
});
page.on("pageerror", (error) => faults.push(`page: ${error.message}`));
page.on("requestfailed", (request) => faults.push(`request: ${request.url()}: ${request.failure()?.errorText}`));
page.on("response", (response) => {
  if (response.status() >= 400) faults.push(`response: ${response.status()} of ${response.url()}`);
});
page.on("request", (request) => {
  if (!request.url().startsWith(running.url) && !request.url().startsWith("data:")) faults.push(`asks elsewhere: ${request.url()}`);
});

const pressed = new Set();
const text = (selector) => page.$eval(selector, (element) => element.innerText.replace(/\s+/g, " "));
const said = () => text("#said");
const onPage = () => text("#widget");
const idle = () => page.waitForFunction(() => !document.querySelector("[aria-busy]") && document.querySelector("#widget").hasChildNodes());

// Presses a control as a person does, and returns what the console says then.
async function press(name, { off = false } = {}) {
  await idle();
  const selector = `[data-control="${name}"]`;
  // Not behind the sentence that stays in view.
  await page.$eval(selector, (element) => element.scrollIntoView({ block: "center" }));
  await page.locator(selector).click();
  await idle();
  pressed.add(off ? await page.$eval(selector, (element) => element.dataset.off) : name);
  return said();
}

// Presses a button of the router's page, and answers the question that it asks.
async function pressOnPage(label, { confirm = "confirm", byKey = false } = {}) {
  await idle();
  const button = await page.$(`::-p-xpath(//*[@id="widget"]//*[self::a or self::button][normalize-space()="${label}"])`);
  assert(button, `the page has the button ${label}`);
  if (byKey) await (await button.focus(), page.keyboard.press("Enter"));
  else await button.click();
  await page.waitForSelector("#confirm[open]");
  const question = await text("#confirm-text");
  await page.click(`#confirm button[value="${confirm}"]`);
  await page.waitForSelector("#confirm:not([open])");
  await idle();
  pressed.add(label);
  return question;
}

const guards = () => page.$$eval("[data-guard]", (shown) => shown.map((guard) => guard.innerText));
const newest = (row = 1) => text(`#invocations tr:nth-child(${row})`);
const hasButton = async (label) => (await page.$$eval("#widget a, #widget button", (all) => all.map((it) => it.innerText.trim()))).includes(label);

async function fits(width) {
  await page.setViewport({ width, height: 900 });
  await new Promise((done) => setTimeout(done, 500));
  await idle();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(overflow <= 0, `nothing is wider than ${width} pixels (${overflow})`);
}

async function theme(value) {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
  await new Promise((done) => setTimeout(done, 300));
  await idle();
}

// Pictures of one moment, for a person to look at.
async function look(moment) {
  if (!options.looks) return;
  for (const [width, colours] of [[400, "light"], [400, "dark"], [1600, "light"], [1600, "dark"]]) {
    await theme(colours);
    await fits(width);
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(options.looks, `${moment}-${width}-${colours}.png`), fullPage: true });
  }
  await theme("light");
  await fits(1280);
}

async function open() {
  await page.setViewport({ width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await page.goto(running.url, { waitUntil: "networkidle0" });
  await idle();
}

const chapters = [];
const chapter = (title, tell) => chapters.push([title, tell]);

chapter("nothing has happened", async () => {
  await open();
  assert.equal(await page.title(), "drift-router: console");
  assert.match(await text("#clock"), /^2021-05-28 \d\d:\d\d \(UTC[+-]\d\d:\d\d\)$/);
  assert.deepEqual(await guards(), ["is enabled", "is enabled", "is enabled"]);
  assert.match(await onPage(), /nyctaxi-pipeline/);
  // A control that does nothing now says why.
  await page.locator('[data-control="succeed"]').click();
  assert.equal(await said(), "No execution runs.");
});

chapter("code is deployed: a retraining starts, and the guards are disabled", async () => {
  assert.match(await press("deploy"), /CodePipeline builds and deploys the new code\. The router answers started\./);
  assert.deepEqual(await guards(), ["is disabled", "is disabled", "is disabled"]);
  assert.match(await newest(2), /Deployment 09714422.* started .*StartPipelineExecution DisableStageTransition/);
  assert.match(await onPage(), /Executing/);
  assert(!(await hasButton("Retrain now")), "no second retraining is offered while one runs");
});

chapter("drift while it runs", async () => {
  assert.match(await press("advance-60"), /^An hour later, with 4 heartbeats\./);
  assert.match(await newest(), /4 × Heartbeat/);
  assert.match(await press("prod-alarm"), /drift rule is disabled, so EventBridge delivers no event/);
  assert.match(await onPage(), /sagemaker-nyctaxi-prod-threshold/);
});

chapter("it fails, and the failure stays", async () => {
  await page.$eval("#failed-reason", (field) => { field.value = "CapacityError: no <b>ml.p3.2xlarge</b> is available"; });
  assert.match(await press("fail"), /fails in step TrainModel\. The router answers released: .*step TrainModel failed: CapacityError: no <b>/);
  assert.deepEqual(await guards(), ["is enabled", "is enabled", "is enabled"]);
  await press("advance-15");
  assert.match(await onPage(), /TrainModel/);
  assert.match(await onPage(), /CapacityError: no <b>ml\.p3\.2xlarge<\/b>/);
  await look("failed");
});

chapter("a person retrains, by the page's button", async () => {
  await pressOnPage("Retrain now", { confirm: "cancel" });
  assert.deepEqual(await guards(), ["is enabled", "is enabled", "is enabled"]);
  const question = await pressOnPage("Retrain now");
  assert.match(question, /^Start a retraining of nyctaxi-pipeline\?/);
  assert.match(await said(), /^The function is called\. The router answers started\./);
  assert.deepEqual(await guards(), ["is disabled", "is disabled", "is disabled"]);
  assert.match(await newest(2), /Retrain, by a button of the page .*started/);
  assert.match(await onPage(), /Executing/);
  await press("advance-60");
  await look("running");
});

chapter("it succeeds, and all is quiet", async () => {
  assert.match(await press("succeed"), /succeeds\. The router answers released/);
  assert.match(await press("prod-ok"), /changes to OK\. The drift rule matches changes to ALARM only/);
  assert.deepEqual(await guards(), ["is enabled", "is enabled", "is enabled"]);
  assert.match(await onPage(), /Succeeded/);
  await pressOnPage("Heartbeat now", { byKey: true });
  assert.match(await newest(), /Heartbeat, by a button of the page/);
  await look("quiet");
});

chapter("new code waits while a retraining runs", async () => {
  assert.match(await press("tick"), /The router answers started/);
  assert.match(await press("deploy"), /new code waits in CodePipeline/);
  assert.match(await text("#about-deploy"), /Code waits now/);
  assert.match(await press("stop"), /is stopped\. .*CodePipeline builds and deploys the new code\. The router answers started/);
  await press("succeed");
});

chapter("people hold the guards", async () => {
  await press("disable-schedule");
  assert.match(await press("tick"), /rule is disabled/);
  await press("enable-schedule");
  await press("disable-drift");
  assert.match(await press("staging-alarm"), /drift rule is disabled/);
  await press("enable-drift");
  await press("disable-stage");
  assert.deepEqual(await guards(), ["is disabled", "is enabled", "is enabled"]);
  assert.match(await onPage(), /Release freeze until Friday/);
  await look("held");
  assert.match(await press("deploy"), /new code waits/);
  assert.match(await press("enable-stage"), /builds and deploys the new code\. The router answers started/);
});

chapter("events are lost, and SageMaker is at its limit", async () => {
  assert.match(await press("lose-events"), /only heartbeats/);
  assert.match(await press("succeed"), /The event is lost/);
  assert.deepEqual(await guards(), ["is disabled", "is disabled", "is disabled"]);
  assert.match(await press("advance-15"), /The router answers released/);
  assert.match(await press("lose-events", { off: true }), /delivers events again/);
  assert.match(await press("reach-limit"), /refuses every start/);
  assert.match(await press("tick"), /The router answers deferred/);
  await press("staging-ok");
  assert.match(await press("reach-limit", { off: true }), /starts executions again/);
  assert.match(await press("advance-day"), /The router answers started/);
  await press("succeed");
});

chapter("what was opened stays open, and every control was pressed", async () => {
  await page.click("#invocations tr:first-child summary");
  const opened = await page.$eval("#invocations tr:first-child", (row) => row.dataset.id);
  await press("tick");
  assert(await page.$eval(`#invocations tr[data-id="${opened}"] details`, (shown) => shown.open), "the details stay open");
  assert((await page.$$("#invocations tr")).length <= 50);
  await look("many");
  const controls = await page.$$eval("[data-control]", (all) => all.flatMap(({ dataset }) => [dataset.control, dataset.off ?? []].flat()));
  const missing = [...controls, "Retrain now", "Heartbeat now"].filter((name) => !pressed.has(name));
  assert.deepEqual(missing, [], "controls that the story does not press");
  for (const width of [400, 700, 1000, 1600]) await fits(width);
  await theme("dark");
});

// A request as no page of the console sends it.
const send = (method, path, headers, body) => new Promise((answered, failed) => {
  const request = httpRequest(new URL(path, running.url), { method, headers }, (response) => {
    let text = "";
    response.on("data", (part) => { text += part; });
    response.on("end", () => answered({ status: response.statusCode, headers: response.headers, text }));
  });
  request.on("error", failed);
  request.end(body);
});

chapter("wrong requests are answered", async () => {
  const json = { "content-type": "application/json" };
  for (const [status, method, path, headers, body] of [
    [403, "GET", "/", { host: "example.com" }],
    [403, "POST", "/controls/deploy", { ...json, origin: "http://example.com" }, "{}"],
    [404, "GET", "/nothing", {}],
    [404, "POST", "/controls/explode", json, "{}"],
    [405, "GET", "/controls/deploy", {}],
    [413, "POST", "/controls/deploy", json, " ".repeat(70_000)],
    [415, "POST", "/controls/deploy", {}, "{}"],
    [400, "POST", "/controls/deploy", json, "{"],
    [400, "POST", "/widget", json, '{"widgetContext": {}, "endpoint": "another"}'],
  ]) {
    const answer = await send(method, path, headers, body);
    assert.equal(answer.status, status, `${method} ${path}`);
    assert.match(JSON.parse(answer.text).said, /\.$/);
    assert.match(answer.headers["content-security-policy"], /default-src 'none'; script-src 'self';/);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  }
  if (options.url) return;
  const second = spawn("target/debug/examples/console", [new URL(running.url).port], { stdio: ["ignore", "ignore", "pipe"] });
  let error = "";
  second.stderr.on("data", (part) => { error += part; });
  const code = await new Promise((ended) => second.once("exit", ended));
  assert.equal(code, 1);
  assert.match(error, /cannot listen on 127\.0\.0\.1:\d+: .*Choose another port/);
});

// Writes a picture. The browser's own has no palette, and is more than twice as large.
async function write(screenshot, name) {
  const blank = await browser.newPage();
  const { width, height, pixels } = await blank.evaluate(async (base64) => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let text = "";
    for (let at = 0; at < data.length; at += 4) text += String.fromCharCode(data[at], data[at + 1], data[at + 2]);
    return { width: image.width, height: image.height, pixels: btoa(text) };
  }, screenshot);
  await blank.close();
  const picture = png(width, height, Buffer.from(pixels, "base64"));
  assert(picture.length < 200_000, `${name} is below 200 KB (${picture.length})`);
  writeFileSync(join(options.pictures, name), picture);
}

// Some days, with what the page can show of them.
async function illustrate() {
  await page.emulateTimezone("UTC");
  await open();
  const days = async (number) => { for (let day = 0; day < number; day += 1) await press("advance-day"); };
  for (const [reason, end, pause] of [["tick", "succeed", 0], ["deploy", "succeed", 3], ["staging-alarm", "fail", 2]]) {
    await days(pause);
    await press(reason);
    await press("advance-60");
    await press("advance-60");
    await press(end);
  }
  await press("advance-15");
  await press("prod-alarm");
  await press("disable-schedule");
  await press("advance-60");
  await page.setViewport({ width: 1400, height: 780 });
  await page.mouse.move(0, 0);
  await new Promise((done) => setTimeout(done, 500));
  await page.evaluate(() => scrollTo(0, 0));
  await idle();
  await write(await page.screenshot({ encoding: "base64" }), "console.png");
  await page.setViewport({ width: 1400, height: 1000 });
  await new Promise((done) => setTimeout(done, 500));
  await idle();
  await write(await (await page.$("main")).screenshot({ encoding: "base64" }), "widget.png");
}

for (const folder of [options.looks, options.pictures]) if (folder) mkdirSync(folder, { recursive: true });
if (options.pictures) chapters.splice(0, chapters.length, ["pictures", illustrate]);
try {
  for (const [title, tell] of chapters) {
    await tell();
    assert.deepEqual(faults, [], "no error in the browser");
    console.log(`ok  ${title}`);
  }
} catch (error) {
  console.error(`after ${await page.evaluate(() => document.querySelector("#said")?.innerText).catch(() => "nothing")}`);
  console.error(`the page: ${await onPage().catch(() => "nothing")}`);
  faults.forEach((fault) => console.error(fault));
  throw error;
} finally {
  await browser.close();
  running.end();
}
console.log(`${pressed.size} controls, ${chapters.length} chapters`);
