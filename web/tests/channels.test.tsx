import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import Channels from "../src/pages/channels";
import { language } from "../src/prefs";
import { MASK } from "../src/ui/schema";

const SCHEMA = {
  required: ["token"],
  properties: {
    token: { type: "string", format: "password", writeOnly: true, default: "" }, api: { type: "string", default: "https://a.example" },
    poll: { type: "integer", default: 25 }, allow: { type: "array", items: { type: "string" } }, enabled: { type: "boolean", default: true },
  },
};
const CHANNEL = {
  name: "paper", title: { en: "Paper", zh: "纸" }, quality: "silver", delivery: "at_least_once", state: "ready", note: "",
  last_in: 0, last_out: 0, lag: 0, errors: 0, capabilities: ["text"], schema: SCHEMA,
};
/** A machine may be slow, and a deadline costs nothing when all is well. */
const SLOW = { timeout: 30_000 };

afterEach(() => (cleanup(), vi.unstubAllGlobals()));

/** A server with one channel; what was put to it, by path. */
function serve(configured: boolean, settings: Record<string, unknown> = {}): [string, unknown][] {
  const put: [string, unknown][] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (init.method === "PUT") put.push([url, JSON.parse(String(init.body))]);
    if (url === "/api/pairing") return Response.json({ waiting: [], faces: [] });
    return Response.json(url.endsWith("/settings") ? { channel: "paper", settings } : { channels: [{ ...CHANNEL, configured }] });
  });
  return put;
}

const field = (name: RegExp): Promise<HTMLInputElement> => screen.findByLabelText(name, {}, SLOW);
const submit = (input: HTMLInputElement): boolean => fireEvent.submit(input.form as HTMLFormElement);

async function opened(): Promise<HTMLInputElement> {
  render(<Channels />);
  fireEvent.click(await screen.findByRole("button", { name: /Settings|设置/ }, SLOW));
  return field(/^token/);
}

test("the form of a channel opens with its settings, without its secret, and sends only what was changed", async () => {
  const put = serve(true, { token: MASK, api: "https://b.example", poll: 7, allow: ["a", "b"] });
  const token = await opened();
  expect([token.value, token.placeholder]).toEqual(["", expect.stringMatching(/keep|不变/)]);
  const [api, poll, allow] = [await field(/^api/), await field(/^poll/), await field(/^allow/)];
  expect([api.value, poll.value, allow.value]).toEqual(["https://b.example", "7", "a\nb"]);
  fireEvent.change(poll, { target: { value: "9" } });
  fireEvent.change(api, { target: { value: "" } });
  submit(token);
  await waitFor(() => expect(put).toEqual([["/api/channels/paper/settings", { changes: { api: null, poll: 9 } }]]), SLOW);
});

test("a new secret is sent, an old one that was touched and left empty is not", async () => {
  const put = serve(true, { token: MASK });
  const token = await opened();
  fireEvent.change(token, { target: { value: "x" } });
  fireEvent.change(token, { target: { value: "" } });
  submit(token);
  await waitFor(() => expect(put).toEqual([["/api/channels/paper/settings", { changes: {} }]]), SLOW);
  cleanup();
  const again = await opened();
  fireEvent.change(again, { target: { value: "new" } });
  submit(again);
  await waitFor(() => expect(put[1]).toEqual(["/api/channels/paper/settings", { changes: { token: "new" } }]), SLOW);
});

test("a needed field that is empty is refused where it stands, before anything is sent", async () => {
  const put = serve(false);
  render(<Channels />);
  const token = await field(/^token/);
  submit(token);
  await waitFor(() => expect(token.closest(".field")?.textContent).toMatch(/This is needed|请填写/), SLOW);
  expect(token.getAttribute("aria-invalid")).toBe("true");
  expect(put).toEqual([]);
  fireEvent.change(token, { target: { value: "1:x" } });
  submit(token);
  await waitFor(() => expect(put).toEqual([["/api/channels/paper", { token: "1:x" }]]), SLOW);
});

test("a channel that is to be off needs nothing", async () => {
  const put = serve(false);
  render(<Channels />);
  const token = await field(/^token/);
  fireEvent.change(await field(/^enabled/), { target: { value: "false" } });
  submit(token);
  await waitFor(() => expect(put).toEqual([["/api/channels/paper", { enabled: false }]]), SLOW);
});

test("the forms are asked for in the language that is chosen, and anew when it changes", async () => {
  const before = language.get();
  const asked: string[] = [];
  serve(false);
  const answer = globalThis.fetch;
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => (asked.push(url), answer(url, init)));
  try {
    language.set("en");
    render(<Channels />);
    await waitFor(() => expect(asked).toContain("/api/channels?locale=en"), SLOW);
    act(() => language.set("zh"));
    await waitFor(() => expect(asked).toContain("/api/channels?locale=zh"), SLOW);
  } finally {
    act(() => language.set(before));
  }
});

test("what the server says a setting is lacking stands at that field, in the language of the page", async () => {
  const faults = [{ path: "channels.paper.poll", reason: "is lacking here", line: 0 }];
  let spoken: string | undefined;
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (url === "/api/pairing") return Response.json({ waiting: [], faces: [] });
    if (init.method !== "PUT") return Response.json({ channels: [{ ...CHANNEL, configured: false }] });
    spoken = (init.headers as Record<string, string>)["Accept-Language"];
    return Response.json({ error: { code: "channel_needs", message: "no", hint: "or switch it off", faults } }, { status: 400 });
  });
  render(<Channels />);
  const token = await field(/^token/);
  fireEvent.change(token, { target: { value: "1:x" } });
  submit(token);
  const poll = await field(/^poll/);
  await waitFor(() => expect(poll.closest(".field")?.textContent).toContain("is lacking here"), SLOW);
  expect(poll.closest("details")?.open).toBe(true);
  expect(spoken).toMatch(/^(en|zh)$/);
  expect(screen.getByText("or switch it off")).toBeTruthy();
});
