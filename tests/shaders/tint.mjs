// Compiles WGSL files with the Tint inside npm's package `webgpu`, on Dawn's null backend, which
// needs no GPU. Arguments: the package's index.js, then the files. Fails if one is refused.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [index, ...files] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(index).href);
Object.assign(globalThis, globals);
const gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();

let refused = 0;
for (const file of files) {
  // Dawn reports a refused module twice: as messages, and as an error for the scope.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: readFileSync(file, "utf8") });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const errors = messages.filter((message) => message.type === "error");
  for (const { lineNum, linePos, message } of errors) {
    console.error(`${file}:${lineNum}:${linePos}: ${message}`);
  }
  refused += errors.length > 0 ? 1 : 0;
}
// Dawn keeps the event loop alive.
process.exit(refused > 0 ? 1 : 0);
