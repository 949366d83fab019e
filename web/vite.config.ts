import react from "@vitejs/plugin-react";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Puts a gzip beside every file that gains by it, so that the server packs nothing while it serves. */
function packed(folder: string): Plugin {
  const pack = (place: string): void => {
    for (const name of readdirSync(place)) {
      const path = join(place, name);
      if (statSync(path).isDirectory()) pack(path);
      else if (/\.(js|css|html|svg|webmanifest)$/.test(name) && statSync(path).size > 1024) {
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    }
  };
  return { name: "packed", apply: "build", closeBundle: () => pack(folder) };
}

export default defineConfig({
  base: "/app/",
  plugins: [react(), packed("dist")],
  build: { assetsInlineLimit: 0, target: "es2022", sourcemap: false, chunkSizeWarningLimit: 1500, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8787", ws: true }, "/v1": "http://127.0.0.1:8787" } },
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["tests/**/*.test.{ts,tsx}"], environment: "jsdom", setupFiles: ["tests/setup.ts"], testTimeout: 60_000, hookTimeout: 60_000 } },
      { extends: true, test: { name: "e2e", include: ["e2e/**/*.test.ts"], environment: "node", fileParallelism: false, testTimeout: 240_000, hookTimeout: 240_000, expect: { poll: { timeout: 90_000 } } } },
    ],
  },
});
