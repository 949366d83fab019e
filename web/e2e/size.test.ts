import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const PAGES = resolve(import.meta.dirname, "../../src/kith/gateway/pages");
const BUDGET = 300 * 1024;

/** Small files have no gzip: they go out as they are. */
function sizeOf(name: string): number {
  const packed = join(PAGES, `${name}.gz`);
  return statSync(existsSync(packed) ? packed : join(PAGES, name)).size;
}

/** What a browser fetches before the first page stands: the page, and every script and style that it names. */
function firstLoad(): Map<string, number> {
  const html = readFileSync(join(PAGES, "index.html"), "utf8");
  const names = new Set([...html.matchAll(/\/app\/(assets\/[^"]+\.(?:js|css))/g)].map((found) => String(found[1])));
  const waiting = [...names];
  for (let name = waiting.pop(); name; name = waiting.pop()) {
    if (!name.endsWith(".js")) continue;
    for (const [, other] of readFileSync(join(PAGES, name), "utf8").matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) {
      if (other && !names.has(`assets/${other}`)) {
        names.add(`assets/${other}`);
        waiting.push(`assets/${other}`);
      }
    }
  }
  return new Map(["index.html", ...names].map((name) => [name, sizeOf(name)]));
}

test("the first load stays within its budget, and nothing heavy is in it", () => {
  const parts = firstLoad();
  const total = [...parts.values()].reduce((sum, size) => sum + size, 0);
  console.log(`first load: ${(total / 1024).toFixed(0)} KiB of ${BUDGET / 1024}, gzip: ${[...parts.keys()].join(", ")}`);
  expect(parts.size).toBeGreaterThanOrEqual(3);
  expect(total).toBeLessThanOrEqual(BUDGET);
  const code = [...parts.keys()].filter((name) => name.endsWith(".js")).map((name) => readFileSync(join(PAGES, name), "utf8")).join("");
  for (const heavy of ["katex-html", "zrender", "flowchart-v2"]) expect(code.includes(heavy), heavy).toBe(false);
});

test("no script stands in the page", () => {
  const html = readFileSync(join(PAGES, "index.html"), "utf8");
  expect([...html.matchAll(/<script(?![^>]*\ssrc=)/g)]).toEqual([]);
  expect(html).not.toMatch(/\son\w+=|style=/);
});
