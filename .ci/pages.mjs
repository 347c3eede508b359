// Parses the pages that the scenarios recorded, as a browser does, and checks what CloudWatch and a viewer rely on.
// node .ci/pages.mjs DIRECTORY FILE…: DIRECTORY has the package parse5.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, ...files] = process.argv.slice(2);
const require = createRequire(join(resolve(directory), "package.json"));
const { parseFragment } = await import(pathToFileURL(require.resolve("parse5")));

// Foreign text that is not escaped would be an element, an attribute or a link of another kind.
const ELEMENTS = new Set(
  "a b circle code cwdb-action div g h2 h3 li line p path rect span style svg table tbody td text th thead title tr ul".split(" "),
);
const ATTRIBUTES = new Set(
  ("action aria-label class confirmation d display endpoint height href r rel role rx style tabindex target text-anchor transform " +
    "viewbox width x x1 x2 y y1 y2").split(" "),
);
const SIZE = /^max-width: [0-9.]+px$/;

function* elements(node) {
  for (const child of node.childNodes ?? []) {
    if (child.tagName) yield child;
    yield* elements(child);
  }
}

const faults = [];
for (const file of files) {
  const html = readFileSync(file, "utf8");
  const fault = (what) => faults.push(`${file}: ${what}`);
  const page = parseFragment(html, { onParseError: ({ code, startLine, startCol }) => fault(`${code} at ${startLine}:${startCol}`) });
  if (Buffer.byteLength(html) >= 100_000) fault(`${Buffer.byteLength(html)} bytes`);
  if (page.childNodes.length !== 1) fault("it is not one element");
  for (const element of elements(page)) {
    if (!ELEMENTS.has(element.tagName)) fault(`an element ${element.tagName}`);
    for (const { name, value } of element.attrs) {
      if (!ATTRIBUTES.has(name.toLowerCase())) fault(`an attribute ${name} of ${element.tagName}`);
      if (name === "href" && !value.startsWith("https://us-east-1.console.aws.amazon.com/")) fault(`a link to ${value}`);
      if (name === "style" && !SIZE.test(value)) fault(`a style ${value}`);
    }
    if (element.tagName === "cwdb-action") JSON.parse(element.childNodes.map((text) => text.value).join(""));
  }
}
for (const fault of faults) console.error(fault);
console.log(`${files.length} pages`);
if (files.length === 0 || faults.length > 0) process.exitCode = 1;
