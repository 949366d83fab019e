import { deflateSync } from "node:zlib";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { House } from "./house";
import { browser, enter, house, PICTURES, say } from "./house";

let at: House;
let chrome: Browser;

beforeAll(async () => {
  [at, chrome] = await Promise.all([house(), browser()]);
});
afterAll(async () => {
  await chrome?.close();
  await at?.stop();
});

const TABLE = Uint32Array.from({ length: 256 }, (_, place) => Array.from({ length: 8 }).reduce<number>((c) => (c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1), place));
const crc = (bytes: Buffer): number => ~bytes.reduce((c, byte) => (TABLE[(c ^ byte) & 255] ?? 0) ^ (c >>> 8), -1) >>> 0;

/** A character card: a picture of one red point, with the character in a text chunk. */
function card(data: object): Buffer {
  const chunk = (kind: string, body: Buffer): Buffer => {
    const whole = Buffer.concat([Buffer.from(kind), body]);
    const size = Buffer.alloc(4);
    const sum = Buffer.alloc(4);
    size.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc(whole));
    return Buffer.concat([size, whole, sum]);
  };
  const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
  const text = Buffer.from(`chara\0${Buffer.from(JSON.stringify({ spec: "chara_card_v2", data })).toString("base64")}`, "latin1");
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("tEXt", text), chunk("IDAT", deflateSync(Buffer.from([0, 200, 30, 30]))), chunk("IEND", Buffer.alloc(0))]);
}

test("a persona is written, changed, imported with its picture, speaks in a conversation, and is removed", async () => {
  const { page, complaints } = await enter(chrome, at);
  await page.goto(`${at.address}/app/personas`);
  await page.getByRole("button", { name: "New persona" }).click();
  await page.getByLabel("Name").fill("Lin");
  await page.getByLabel("Who it is").fill("A harbour master.");
  await page.getByLabel("What it says first").fill("Ahoy.");
  await page.getByLabel("What it knows").fill("harbour, 码头: The harbour opens at six.\n");
  await page.screenshot({ path: `${PICTURES}/persona-new.png`, fullPage: true });
  await page.getByRole("button", { name: "Save" }).click();
  const lin = page.locator(".cards .card", { hasText: "Lin" });
  await lin.getByText("A harbour master.").waitFor();
  await lin.getByRole("button", { name: "Change" }).click();
  await expect.poll(() => page.getByLabel("What it knows").inputValue()).toBe("harbour, 码头: The harbour opens at six.");
  await page.getByLabel("How it speaks").fill("Like a sailor.");
  await page.getByRole("button", { name: "Save" }).click();
  await lin.getByText("Like a sailor.").waitFor();
  await page.locator("input[type=file]").setInputFiles({ name: "mia.png", mimeType: "image/png", buffer: card({ name: "Mia", description: "{{char}} paints.", first_mes: "Hello there." }) });
  const mia = page.locator(".cards .card", { hasText: "Mia" });
  await expect.poll(async () => mia.locator("img.portrait").evaluate((shown) => (shown as HTMLImageElement).naturalWidth)).toBe(1);
  await page.screenshot({ path: `${PICTURES}/personas.png` });
  await page.locator("input[type=file]").setInputFiles({ name: "none.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.getByRole("alert").waitFor();
  await page.goto(`${at.address}/app/c/sea`);
  await say(page, "switch to Lin");
  await page.locator(".said.theirs", { hasText: "Ahoy." }).waitFor();
  await page.goto(`${at.address}/app/personas`);
  await mia.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Remove" }).click();
  await mia.waitFor({ state: "detached" });
  expect(complaints.filter((line) => !line.includes("400"))).toEqual([]);
  await page.context().close();
});

test("a reminder is made by a sentence, seen, and cancelled", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/water`);
  await say(page, "remind me to drink water every day at 8");
  await page.goto(`${at.address}/app/memory`);
  const row = page.locator(".rows li", { hasText: "drink water" });
  await row.getByRole("button", { name: "Cancel" }).click();
  await row.waitFor({ state: "detached" });
  await page.context().close();
});

test("a channel is set up by its form, refused by its fields, tried, stopped, and removed; a code lets somebody in", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/channels`);
  await page.getByRole("searchbox", { name: "Find a channel" }).fill("irc");
  const form = page.locator("details.intent", { hasText: "IRC" });
  await form.locator("summary").first().click();
  await form.getByLabel("port").waitFor({ state: "attached" });
  if (!(await form.getByLabel("port").isVisible())) await form.locator("details summary").click();
  await form.getByLabel("port").fill("70000");
  await form.getByRole("button", { name: "Check and connect" }).click();
  await form.locator(".bad, [role=alert]").first().waitFor();
  await page.screenshot({ path: `${PICTURES}/channel-refused.png`, fullPage: true });
  await page.getByRole("searchbox", { name: "Find a channel" }).fill("webhook");
  const hook = page.locator("details.intent", { hasText: "ebhook" });
  await hook.locator("summary").first().click();
  await hook.getByLabel("url *").fill("http://127.0.0.1:9/answers");
  await hook.getByLabel("secret *").fill("a secret of more than sixteen characters");
  await hook.getByRole("button", { name: "Check and connect" }).click();
  const shown = page.locator("section.card", { hasText: "ebhook" });
  await shown.getByText("degraded").waitFor(); // nobody listens at that address, and the page says so
  await shown.getByText("the receiver cannot be reached").waitFor();
  await page.screenshot({ path: `${PICTURES}/channels.png`, fullPage: true });
  await shown.getByRole("button", { name: "Settings" }).click();
  const url = shown.getByLabel("url *");
  await url.waitFor();
  expect([await url.inputValue(), await shown.getByLabel("secret *").inputValue()]).toEqual(["http://127.0.0.1:9/answers", ""]);
  await url.fill("http://127.0.0.1:9/others");
  await shown.getByRole("button", { name: "Check and connect" }).click();
  await url.waitFor({ state: "detached" });
  await shown.getByRole("button", { name: "Settings" }).click();
  await url.waitFor();
  expect(await url.inputValue()).toBe("http://127.0.0.1:9/others");
  await shown.getByRole("button", { name: "Stop" }).click();
  await shown.getByRole("button", { name: "Start" }).waitFor();
  await shown.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Remove" }).click();
  await shown.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Make a code" }).click();
  await page.locator(".card.good code").waitFor();
  await page.context().close();
});

test("a person is renamed, taken along as a file, and erased", async () => {
  const { page } = await enter(chrome, at);
  await page.goto(`${at.address}/app/household`);
  const row = page.locator(".rows li", { hasText: "web: owner" });
  await row.getByRole("button", { name: "Rename" }).click();
  await row.locator("input").fill("Lin of the harbour");
  await page.keyboard.press("Enter");
  await row.getByText("Lin of the harbour").waitFor();
  const told = page.waitForEvent("download");
  await row.getByRole("button", { name: "Export" }).click();
  expect((await told).suggestedFilename()).toMatch(/\.json$/);
  await row.getByRole("button", { name: "Erase" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Erase" }).click();
  await row.getByText("Lin of the harbour").waitFor({ state: "detached" });
  await page.goto(`${at.address}/app/c/sea`);
  await page.locator(".composer textarea").waitFor();
  expect(await page.locator(".said.theirs").count()).toBe(0);
  await page.context().close();
});

test("use and the ways of conversations are drawn", async () => {
  const { page, complaints } = await enter(chrome, at);
  await page.goto(`${at.address}/app/c/tea`);
  await say(page, "hello");
  await say(page, "how do I add a model?");
  await page.goto(`${at.address}/app/paths`);
  await page.getByRole("heading", { name: "Use by model" }).waitFor();
  await page.locator("canvas, .chart svg, svg").first().waitFor();
  expect(complaints).toEqual([]);
  await page.context().close();
});

test("a rating is there after a reload; what was said before is fetched without a jump", async () => {
  const { page } = await enter(chrome, at, { serviceWorkers: "block" });
  await page.goto(`${at.address}/app/c/long`);
  await page.locator(".composer textarea").waitFor();
  await say(page, "hello");
  await page.getByRole("button", { name: "Good answer", pressed: false }).last().click();
  await page.getByRole("button", { name: "Good answer", pressed: true }).waitFor();
  await page.reload();
  await page.getByRole("button", { name: "Good answer", pressed: true }).waitFor();
  const message = (id: string, role: string, text: string) => ({ id, role, at: 1, parts: [{ type: "text", text }] });
  const turn = (n: number) => ({ id: `t${n}`, at: 1, heard: message(`h${n}`, "user", `question ${n}.`), spoke: [message(`s${n}`, "assistant", `answer ${n}.`)], passages: [], model: "echo", outcome: "answered" });
  await page.route(/\/turns\?/, (route) => {
    const [from, count] = route.request().url().includes("before=t50") ? [0, 50] : [50, 100];
    return route.fulfill({ json: { turns: Array.from({ length: count }, (_, place) => turn(from + place)) } });
  });
  await page.reload();
  await page.getByText("answer 149.").first().waitFor();
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
  const earlier = page.getByRole("button", { name: "Earlier messages" });
  await earlier.scrollIntoViewIfNeeded();
  const first = page.getByText("question 50.", { exact: true });
  const before = await first.boundingBox();
  await earlier.click();
  await page.getByText("question 49.", { exact: true }).waitFor();
  await earlier.waitFor({ state: "detached" });
  const after = await first.boundingBox();
  expect(Math.abs((after?.y ?? 0) - (before?.y ?? 999))).toBeLessThan(30);
  await page.context().close();
});
