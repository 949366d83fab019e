import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { House } from "./house";
import { browser, enter, house, PASSWORD, patient, PHONE, PICTURES, say, WIDE } from "./house";

const RICH = [
  "**bold** and a formula $E = mc^2$", "", "| fruit | price |", "|---|--:|", "| apple 苹果 | 3.20 |", "",
  "```python", 'print("hello")', "```", "", "```mermaid", "flowchart LR", "  A[Hear] --> B[Answer]", "```", "",
  "```echarts", '{"title":{"text":"Sales"},"xAxis":{"type":"category","data":["Jan","Feb"]},"yAxis":{"type":"value"},"series":[{"type":"bar","data":[5,9]}]}', "```", "",
  '<img src=x onerror="window.hacked=1"> [bad](javascript:window.hacked=1) ![far](https://example.org/a.png)',
].join("\n");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let at: House;
let chrome: Browser;

beforeAll(async () => {
  [at, chrome] = await Promise.all([house(), browser()]);
});
afterAll(async () => {
  await chrome?.close();
  await at?.stop();
});

test("the first start: a code from the console, a password, the rooms of the house, and a conversation", async () => {
  const page = patient(await chrome.newPage({ locale: "en-GB", viewport: WIDE }));
  await page.goto(`${at.address}/app/#code=${at.code}`);
  await page.getByRole("heading", { name: "Welcome: this house is new" }).waitFor();
  await page.screenshot({ path: `${PICTURES}/door-first.png` });
  await page.getByLabel("New password").fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "How should it look?" }).waitFor();
  expect(page.url()).not.toContain(at.code);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "Choose a mind" }).waitFor();
  await page.locator(".advice").waitFor();
  await page.screenshot({ path: `${PICTURES}/welcome-model.png` });
  await page.getByRole("button", { name: "Go on", exact: true }).click();
  await page.getByRole("heading", { name: "Whom would you like" }).waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("button", { name: "Begin to talk" }).click();
  await say(page, "hello");
  await page.close();
});

test("a wrong password and a wrong token are refused in words; the right password lets in, and out again", async () => {
  const page = patient(await chrome.newPage({ locale: "en-GB" }));
  await page.goto(at.address);
  expect(page.url()).toBe(`${at.address}/app/`);
  await page.getByRole("radio", { name: "Token" }).check();
  await page.getByRole("textbox", { name: "Token" }).fill("kith_wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("not valid");
  await page.getByRole("radio", { name: "Password" }).check();
  await page.getByRole("textbox", { name: "Name" }).fill("owner");
  await page.getByRole("textbox", { name: "Password" }).fill("not the right one");
  await page.keyboard.press("Enter");
  await page.getByText("Name or password is wrong.").waitFor();
  await page.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.locator(".composer textarea").waitFor();
  await page.goto(`${at.address}/app/settings`);
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByRole("textbox", { name: "Name" }).waitFor();
  await page.reload();
  await page.getByRole("textbox", { name: "Name" }).waitFor();
  await page.close();
});

test("a conversation: asked, answered with its source, found again after a reload and by search", async () => {
  const { page, complaints } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/asked`);
  await page.getByRole("button", { name: "How do I add a model?" }).click();
  await page.locator(".sources").waitFor();
  await page.reload();
  await page.locator(".said.theirs").waitFor();
  await expect.poll(() => page.locator(".said.mine .bubble").textContent()).toBe("How do I add a model?");
  await expect.poll(() => page.locator(".said.theirs").count()).toBe(1);
  await page.getByRole("searchbox").fill("GGUF");
  await page.locator(".talk .talk-note", { hasText: "GGUF" }).first().waitFor();
  expect(complaints).toEqual([]);
  await page.context().close();
});

test("a reply is formatted, and nothing in it runs or is loaded from elsewhere", async () => {
  const { page, complaints } = await enter(chrome, at);
  const far: string[] = [];
  page.on("request", (request) => !request.url().startsWith(at.address) && /^http/.test(request.url()) && far.push(request.url()));
  await page.goto(`${at.address}/app/c/rich`);
  await say(page, RICH);
  for (const part of [".katex", ".prose table", ".drawing img", ".chart svg", ".code .hljs-string"]) await page.locator(part).first().waitFor();
  expect(await page.evaluate(() => (window as { hacked?: number }).hacked)).toBeUndefined();
  expect(await page.locator(".said.theirs a[href^=javascript]").count()).toBe(0);
  expect(await page.locator(".said.theirs .prose img:not(.drawing img)").count()).toBe(0);
  expect(far).toEqual([]);
  expect(complaints).toEqual([]);
  await page.screenshot({ path: `${PICTURES}/rich.png` });
  await page.context().close();
});

test("a reply is still coming, with its question, on a page that is read anew; it is stopped there, and the conversation goes on", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/stopped`);
  await page.locator(".choice").selectOption("slow");
  await page.locator(".composer textarea").fill("one two three four five six seven eight nine ten ".repeat(60));
  await page.keyboard.press("Enter");
  await page.locator(".said.theirs .prose", { hasText: "three" }).waitFor();
  await page.reload();
  await page.locator(".said.theirs .prose", { hasText: /one two three four five/ }).waitFor();
  expect(await page.locator(".said.mine .bubble").textContent()).toContain("nine ten one two");
  expect(await page.locator(".said").count()).toBe(2);
  const sofar = (await page.locator(".said.theirs .prose").textContent())?.length ?? 0;
  await expect.poll(async () => (await page.locator(".said.theirs .prose").textContent())?.length ?? 0).toBeGreaterThan(sofar);
  await page.setViewportSize(PHONE);
  await page.screenshot({ path: `${PICTURES}/under-way.png` });
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Stop" }).waitFor({ state: "detached" });
  await page.locator(".choice").selectOption("echo");
  await say(page, "again please");
  await expect.poll(() => page.locator(".said.theirs").last().textContent()).toContain("again please");
  await page.context().close();
});

test("what is said without a connection is sent when it is back", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/offline`);
  await say(page, "before");
  await page.context().setOffline(true);
  await page.evaluate(() => undefined);
  await page.locator(".composer textarea").fill("meanwhile");
  await page.keyboard.press("Enter");
  await page.context().setOffline(false);
  await page.locator(".said.theirs[aria-busy=false]", { hasText: "meanwhile" }).waitFor();
  await expect.poll(() => page.locator(".bubble", { hasText: "meanwhile" }).count()).toBe(1);
  await page.context().close();
});

test("what was said is said otherwise in a branch, answered anew, branched off; the old conversation stays", async () => {
  const { page, complaints } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/trunk`);
  await say(page, "the first thing");
  await say(page, "the second thing");
  await page.locator(".said.mine").last().hover();
  await page.locator(".said.mine").last().getByRole("button", { name: "Edit" }).click();
  await page.locator(".edit textarea").fill("another second thing");
  await page.locator(".edit").getByRole("button", { name: "Send" }).click();
  await page.waitForURL((url) => !url.pathname.endsWith("/trunk"));
  await page.locator(".said.theirs[aria-busy=false]", { hasText: "another second thing" }).waitFor();
  await expect.poll(() => page.locator(".bubble").allTextContents()).toEqual(["the first thing", "another second thing"]);
  const branch = page.url();
  await page.locator(".said.theirs").last().hover();
  await page.locator(".said.theirs").last().getByRole("button", { name: "Answer anew" }).click();
  await page.waitForURL((url) => url.href !== branch);
  await page.locator(".said.theirs[aria-busy=false]").nth(1).waitFor();
  await expect.poll(() => page.locator(".bubble").allTextContents()).toEqual(["the first thing", "another second thing"]);
  const anew = page.url();
  await page.locator(".said.theirs").first().getByRole("button", { name: "Branch off here" }).click();
  await page.waitForURL((url) => url.href !== anew);
  await page.locator(".said.theirs").waitFor();
  await expect.poll(() => page.locator(".bubble").allTextContents()).toEqual(["the first thing"]);
  await page.goto(`${at.address}/app/c/trunk`);
  await page.locator(".bubble", { hasText: "the second thing" }).waitFor();
  await expect.poll(() => page.locator(".bubble").count()).toBe(2);
  expect(complaints).toEqual([]);
  await page.context().close();
});

test("files and pictures go along, a recording too; what nobody can look at is said", async () => {
  const { page, complaints } = await enter(chrome, at, { permissions: ["microphone"] });
  await page.goto(`${at.address}/app/c/files`);
  const picker = page.locator("input[type=file]");
  await picker.setInputFiles([
    { name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64") },
    { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("three apples\n") },
  ]);
  await page.locator(".brought img").waitFor();
  await page.getByText("No model here sees pictures").waitFor();
  await expect.poll(() => page.locator(".composer textarea").inputValue()).toContain("three apples");
  await page.getByRole("button", { name: "Record your voice" }).click();
  await page.locator(".recording", { hasText: /0:(0[1-9]|[1-5]\d)/ }).waitFor();
  await page.getByRole("button", { name: "End the recording" }).click();
  await page.getByText("No model here understands speech").waitFor();
  await expect.poll(() => page.locator(".brought li").count()).toBe(2);
  await page.screenshot({ path: `${PICTURES}/composer.png` });
  await page.keyboard.press("Escape");
  await page.locator(".composer textarea").press("Enter");
  await page.locator(".said.theirs[aria-busy=false]").waitFor();
  await expect.poll(() => page.locator(".said.mine img.picture").evaluate((one: HTMLImageElement) => one.naturalWidth)).toBe(1);
  await expect.poll(() => page.locator(".said.mine audio").count()).toBe(1);
  await page.reload();
  await page.locator(".said.mine img.picture").waitFor();
  expect(complaints).toEqual([]);
  await page.context().close();
});

test("settings are changed, refused by their key, and written down in the audit log", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/config`);
  await page.getByRole("searchbox", { name: "Find a setting" }).fill("log.level");
  await page.getByLabel("log.level").selectOption("info");
  await page.getByRole("button", { name: "Check and save" }).click();
  await page.getByText("Takes effect after a restart: log.level").waitFor();
  await page.getByRole("searchbox", { name: "Find a setting" }).fill("gateway.port");
  await page.getByLabel("gateway.port").fill("70000");
  await page.getByRole("button", { name: "Check and save" }).click();
  await page.locator(".setting .bad").waitFor();
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.locator(".rows li", { hasText: "settings.change" }).first().waitFor();
  await expect.poll(() => page.locator(".badge.good").first().textContent()).toContain("The chain is whole");
  await page.context().close();
});

test("a flow is changed while its mistakes are shown, tried, and put in force", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/flow`);
  await page.getByRole("radio", { name: "Text" }).check();
  const source = page.locator("textarea.source");
  await source.fill("intents:\n  - nme: tea\n");
  await page.getByText("Lines: 2").waitFor();
  await source.fill("# mine\nintents:\n  - name: tea\n    patterns: [make tea, a cup of tea please]\n    responses: [At once.]\n");
  await page.getByText("No mistakes.").waitFor();
  await page.getByRole("button", { name: "Save and put in force" }).click();
  await page.getByText("Kept, and in force.").waitFor();
  await page.getByRole("radio", { name: "Try" }).check();
  await page.getByRole("textbox", { name: "Say something" }).fill("please make tea");
  await page.keyboard.press("Enter");
  await page.locator(".card .badge.good", { hasText: "tea" }).waitFor();
  await page.getByRole("radio", { name: "Report" }).check();
  await page.locator(".figure").first().waitFor();
  await page.context().close();
});

test("a passkey is made and signs its owner in", async () => {
  const page = patient(await chrome.newPage({ locale: "en-GB" }));
  const place = at.address.replace("127.0.0.1", "localhost");
  const device = await page.context().newCDPSession(page);
  await device.send("WebAuthn.enable");
  await device.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  await page.goto(`${place}/app/settings`);
  await page.getByRole("textbox", { name: "Name" }).fill("owner");
  await page.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Where it is" }).fill("this test");
  await page.getByRole("button", { name: "Make a passkey" }).click();
  await page.locator(".bare li", { hasText: "this test" }).waitFor();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await page.locator(".bare li", { hasText: "this test" }).getByRole("button", { name: "Remove" }).click();
  await page.locator(".bare li", { hasText: "this test" }).waitFor({ state: "detached" });
  await page.close();
});

test("somebody is let in by an address that is good once, and sees only what is theirs", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/household`);
  await page.getByRole("textbox", { name: "Name" }).fill("Ann");
  await page.getByRole("button", { name: "Let in" }).click();
  const address = (await page.locator(".card.good code").textContent()) ?? "";
  const guest = patient(await (await chrome.newContext({ locale: "zh-CN", viewport: PHONE })).newPage());
  await guest.goto(address);
  await guest.getByLabel("新密码").fill(PASSWORD);
  await guest.getByLabel("再输入一次").fill(PASSWORD);
  await guest.getByRole("button", { name: "登录" }).click();
  await guest.locator(".composer textarea").waitFor();
  await guest.getByRole("button", { name: "菜单" }).click();
  await guest.locator(".drawer").getByText("这里还没有内容。").waitFor();
  await guest.screenshot({ path: `${PICTURES}/drawer-zh-phone.png` });
  await guest.locator(".drawer").getByRole("link", { name: "家务" }).click();
  await guest.locator(".tabs").waitFor();
  await expect.poll(() => guest.locator(".tabs a").count()).toBe(2);
  await guest.context().close();
  await page.reload();
  const row = page.locator(".rows li", { hasText: "Ann" }).first();
  await row.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Remove" }).click();
  await row.getByRole("button", { name: "New code" }).waitFor({ state: "detached" });
  await page.context().close();
});

test("what Kith knows of one is told, mended and forgotten", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/memory`);
  await page.getByRole("textbox", { name: "Tell Kith something" }).fill("I am allergic to nuts");
  await page.getByRole("button", { name: "Keep" }).click();
  const row = page.locator(".rows li", { hasText: "nuts" });
  await row.getByRole("button", { name: "Mend" }).click();
  await page.locator(".grow-form input").fill("I am allergic to milk");
  await page.keyboard.press("Enter");
  await page.locator(".rows li", { hasText: "milk" }).waitFor();
  await page.screenshot({ path: `${PICTURES}/memory.png` });
  await page.locator(".rows li", { hasText: "milk" }).getByRole("button", { name: "Forget" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Forget" }).click();
  await page.locator(".rows li", { hasText: "milk" }).waitFor({ state: "detached" });
  const told = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  expect((await told).suggestedFilename()).toBe("kith-me.json");
  await page.context().close();
});

test("a model that is none is fetched in vain, and says why", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/models`);
  await page.getByRole("textbox", { name: "Where it comes from" }).fill(`${at.address}/app/none.gguf`);
  await page.getByRole("button", { name: "Fetch" }).click();
  const row = page.locator(".rows li", { hasText: "none" });
  await row.locator(".badge.bad").waitFor();
  expect(await row.locator(".bad").first().textContent()).not.toBe("");
  await page.getByRole("textbox", { name: "Some words" }).fill("你好");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator("ol.rows li", { hasText: "echo" }).first().waitFor();
  await page.context().close();
});

test("a token is made, shown once, and revoked after asking", async () => {
  const { page } = await enter(chrome, at);
  await page.getByRole("link", { name: "House" }).first().click();
  await page.getByRole("link", { name: "Access tokens" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("phone");
  await page.getByRole("button", { name: "Make a token" }).click();
  expect(await page.locator(".card.good code").textContent()).toMatch(/^kith_/);
  const row = page.locator(".rows li", { hasText: "phone" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
  await row.waitFor({ state: "detached" });
  await page.context().close();
});

test("everything is reached with the keyboard alone", async () => {
  const { page } = await enter(chrome, at);
  await page.keyboard.press("Tab");
  const seen = new Set<string>();
  for (let step = 0; step < 40; step++) {
    seen.add(await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? ""));
    await page.keyboard.press("Tab");
  }
  for (const name of ["New conversation", "Models", "House", "Settings", "Write a message"]) {
    expect([...seen].some((one) => one.includes(name)), name).toBe(true);
  }
  await page.context().close();
});

test("the app opens without the network, and says that Kith cannot be reached", async () => {
  const { page } = await enter(chrome, at);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.reload();
  await page.locator(".composer textarea").waitFor();
  await page.reload();
  await page.locator(".composer textarea").waitFor();
  const cached = await page.evaluate(async () => {
    const names = await caches.keys();
    const all = await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)));
    return all.flat();
  });
  expect(cached.length).toBeGreaterThan(1);
  expect(cached.filter((path) => !path.startsWith("/app/"))).toEqual([]);
  await page.context().setOffline(true);
  await page.reload();
  await page.getByText("Kith cannot be reached").waitFor();
  await page.context().close();
});

const PLACES = ["c/rich", "c/empty", "memory", "personas", "models", "knowledge", "state", "channels", "flow", "unanswered", "paths", "household", "outbox", "tokens", "audit", "config", "settings"];
const SOME = ["c/rich", "c/empty", "models", "state", "channels", "config"];
const VIEWS = [
  { language: "en-GB", colorScheme: "light", viewport: WIDE, places: PLACES },
  { language: "zh-CN", colorScheme: "dark", viewport: WIDE, places: SOME },
  { language: "zh-CN", colorScheme: "light", viewport: PHONE, places: PLACES },
  { language: "en-GB", colorScheme: "dark", viewport: PHONE, places: SOME },
] as const;

test.each(VIEWS)("no page has an accessibility fault or is wider than the screen: $language $colorScheme", async (view) => {
  const { page, complaints } = await enter(chrome, at, { locale: view.language, colorScheme: view.colorScheme, viewport: view.viewport, bypassCSP: true });
  const faults: string[] = [];
  for (const place of view.places) {
    await page.goto(`${at.address}/app/${place}`);
    await page.locator("main h1, main .said, main .hello").first().waitFor();
    await page.waitForFunction(() => !document.querySelector(".waiting"));
    await page.evaluate(axe);
    const found = await page.evaluate(() =>
      (globalThis as unknown as { axe: { run: (o: unknown) => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run({
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
      }),
    );
    const bad = found.violations.filter((one) => one.impact === "serious" || one.impact === "critical");
    faults.push(...bad.map((one) => `${place}: ${one.id}: ${one.nodes[0]?.html.slice(0, 160)}`));
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) faults.push(`${place}: ${over} pixels too wide`);
    const name = `${place.replace("/", "-")}-${view.language.slice(0, 2)}-${view.colorScheme}-${view.viewport.width}`;
    await page.screenshot({ path: `${PICTURES}/${name}.png` });
  }
  expect(faults).toEqual([]);
  expect(complaints.filter((one) => !one.includes("status of 404"))).toEqual([]);
  await page.context().close();
});
