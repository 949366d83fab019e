import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Cookie, Page } from "playwright-core";
import { chromium } from "playwright-core";

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const SETTINGS = `gateway: {port: 0}
models:
  - {name: echo, backend: echo}
  - {name: slow, backend: echo, options: {delay: 0.15}}
`;

export const PICTURES = resolve(import.meta.dirname, "../../build/screenshots");

export type House = { address: string; token: string; code: string; stop: () => Promise<void> };
export const PASSWORD = "three old words";

/** A real Kith in a folder of its own, with an echo for a model. */
export async function house(): Promise<House> {
  const home = mkdtempSync(join(tmpdir(), "kith-e2e-"));
  writeFileSync(join(home, "kith.yaml"), SETTINGS);
  const command = process.env.KITH ?? resolve(import.meta.dirname, "../../.venv/bin/kith");
  const server = spawn(command, ["serve"], { env: { ...process.env, KITH_HOME: home, LANG: "C.UTF-8", PYTHONUNBUFFERED: "1" } });
  let said = "";
  const found = new Promise<[string, string, string]>((done, failed) => {
    const hear = (piece: Buffer): void => {
      said += piece.toString();
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      const token = /kith_[\w-]{20,}(?=\s)/.exec(said)?.[0];
      const code = /#code=([\w-]+)/.exec(said)?.[1];
      if (address && token && code) done([address, token, code]);
    };
    server.stdout.on("data", hear);
    server.stderr.on("data", hear);
    server.on("exit", () => failed(new Error(`the server stopped: ${said}`)));
  });
  const [address, token, code] = await found;
  const stop = (): Promise<void> =>
    new Promise((done) => {
      server.on("exit", () => {
        rmSync(home, { recursive: true, force: true });
        done();
      });
      server.kill("SIGTERM");
    });
  return { address, token, code, stop };
}

export async function browser(): Promise<Browser> {
  mkdirSync(PICTURES, { recursive: true });
  const executablePath = process.env.CHROMIUM ?? BROWSERS.find((path) => existsSync(path));
  return chromium.launch({ executablePath, args: FLAGS });
}

export const WIDE = { width: 1280, height: 820 };
export const PHONE = { width: 390, height: 780 };

/** A machine may be slow, and a deadline costs nothing when all is well. */
export function patient(page: Page): Page {
  page.setDefaultTimeout(90_000);
  return page;
}

const SEATS = new Map<string, Cookie[]>();

/** The session of the owner, opened once a house: signing in has a limit. */
async function seat(context: BrowserContext, at: House): Promise<Cookie[]> {
  const known = SEATS.get(at.address);
  if (known) return known;
  const answer = await context.request.post(`${at.address}/api/session`, { data: { token: at.token }, headers: { Origin: at.address } });
  if (!answer.ok()) throw new Error(await answer.text());
  const cookies = await context.cookies();
  SEATS.set(at.address, cookies);
  return cookies;
}

/** A page that is signed in. What its console complains about is kept in `complaints`. */
export async function enter(from: Browser, at: House, options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
  const context = await from.newContext({ locale: "en-GB", viewport: WIDE, ...options });
  const page = patient(await context.newPage());
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
  await context.addCookies(await seat(context, at));
  await context.addInitScript(() => localStorage.setItem("kith.known", "yes"));
  await page.goto(`${at.address}/app/`);
  await page.locator(".composer textarea").waitFor();
  return { page, complaints };
}

/** Say something and wait until the whole reply is there. */
export async function say(page: Page, text: string): Promise<void> {
  const before = await page.locator(".said.theirs[aria-busy=false]").count();
  await page.locator(".composer textarea").fill(text);
  await page.keyboard.press("Enter");
  await page.locator(".said.theirs[aria-busy=false]").nth(before).waitFor();
}
