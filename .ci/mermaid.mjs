// Parses every Mermaid diagram of the documents, as GitHub does before it draws one.
// node .ci/mermaid.mjs DIRECTORY FILE…: DIRECTORY has the packages mermaid and jsdom.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, ...files] = process.argv.slice(2);
const require = createRequire(join(resolve(directory), "package.json"));
// Mermaid cleans labels with the browser's document.
const { JSDOM } = require("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = window.document;
const { default: mermaid } = await import(pathToFileURL(require.resolve("mermaid")));

let diagrams = 0;
for (const file of files) {
  for (const [, text] of readFileSync(file, "utf8").matchAll(/^```mermaid\n(.*?)^```/gms)) {
    diagrams += 1;
    await mermaid.parse(text).catch((error) => {
      console.error(`${file}: ${error.message}`);
      process.exitCode = 1;
    });
  }
}
console.log(`${diagrams} diagrams`);
if (diagrams === 0) process.exitCode = 1;
