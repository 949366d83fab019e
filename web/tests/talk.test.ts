import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { drawn } from "../src/pages/flow";
import type { Frame } from "../src/live";
import { Live } from "../src/live";
import type { Said } from "../src/talk";
import { CHANGES, remembered, Talk } from "../src/talk";
import { en } from "../src/words/en";
import { zh } from "../src/words/zh";

/** A machine may be slow, and a deadline costs nothing when all is well. */
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 30_000 });

function told(...frames: Frame[]): Said[] {
  const mine: Said = { id: "a", by: "me", text: "hi", parts: [], turn: "", at: 0, sources: [], model: "", state: "sending", note: "" };
  return frames.reduce((all, frame) => CHANGES[frame.type]?.(all, frame) ?? all, [mine]);
}

const accepted = { type: "accepted", id: "a", turn: "t" };
const whole = { type: "message", id: "m", turn: "t", text: "hello you", sources: ["handbook"], model: "small", parts: [] };

describe("what a conversation shows", () => {
  test("a reply grows, then is whole", () => {
    const growing = told(accepted, { type: "delta", turn: "t", text: "hel" }, { type: "delta", turn: "t", text: "lo" });
    expect(growing.map((one) => [one.by, one.text, one.state])).toEqual([["me", "hi", "kept"], ["kith", "hello", "coming"]]);
    const done = told(accepted, { type: "delta", turn: "t", text: "hel" }, whole, { type: "end", turn: "t" });
    expect(done.at(-1)).toMatchObject({ id: "m", text: "hello you", state: "done", sources: ["handbook"], model: "small" });
    expect(done).toHaveLength(2);
  });

  test("the same reply twice is shown once; a second one of the turn is shown too", () => {
    expect(told(accepted, whole, whole)).toHaveLength(2);
    expect(told(accepted, whole, { ...whole, id: "n" })).toHaveLength(3);
  });

  test("a turn that starts anew forgets its pieces", () => {
    const found = told(accepted, { type: "delta", turn: "t", text: "wrong" }, { type: "reset", turn: "t" });
    expect(found.at(-1)).toMatchObject({ text: "", state: "coming" });
  });

  test("a failed turn says why, a message that was refused too", () => {
    expect(told(accepted, { type: "end", turn: "t", code: "timeout", text: "too slow" }).at(-1)).toMatchObject({ state: "failed", note: "too slow" });
    expect(told({ type: "error", id: "a", message: "Too long.", hint: "shorten it" })[0]).toMatchObject({ state: "failed", note: "Too long. shorten it" });
  });

  test("an end without words leaves nothing, one with words keeps them", () => {
    expect(told(accepted, { type: "end", turn: "t" })).toHaveLength(1);
    expect(told(accepted, { type: "delta", turn: "t", text: "x" }, { type: "end", turn: "t" }).at(-1)).toMatchObject({ text: "x", state: "done" });
  });

  test.each([{ type: "delta" }, { type: "message", parts: 7, text: null }, { type: "end", code: 9 }, { type: "accepted", turn: {} }])(
    "a broken frame breaks nothing: %o", (frame) => {
      expect(Array.isArray(told(frame as Frame))).toBe(true);
    },
  );

  test("the question of a reply under way is there once, before the reply", () => {
    const heard = { type: "heard", id: "z", turn: "t", text: "and?", parts: [], time: 7 };
    const delta = { type: "delta", turn: "t", text: "hel" };
    const shown = (...frames: Frame[]): string[] => frames.reduce((all, frame) => CHANGES[frame.type]?.(all, frame) ?? all, [] as Said[]).map((one) => `${one.by} ${one.text} ${one.state}`);
    expect(shown(heard, delta, heard)).toEqual(["me and? kept", "kith hel coming"]);
    expect(shown(delta, heard, delta)).toEqual(["me and? kept", "kith helhel coming"]);
    expect(shown(heard, { ...heard, turn: "u", id: "y", text: "well?" })).toEqual(["me and? kept", "kith  coming", "me well? kept", "kith  coming"]);
    expect(shown(heard, delta, { ...whole, text: "hello" }, { type: "end", turn: "t" })).toEqual(["me and? kept", "kith hello done"]);
    // What this page said itself is known by its id, and what it has yet to send stays last.
    expect(told({ ...heard, id: "a" }, accepted).map((one) => [one.id, one.turn, one.state])).toEqual([["a", "t", "kept"], ["coming t", "t", "coming"]]);
    expect(told(heard, { ...accepted, turn: "u" }).map((one) => [one.by, one.turn])).toEqual([["me", "t"], ["kith", "t"], ["me", "u"], ["kith", "u"]]);
    expect(told({ type: "heard" }, { type: "heard", turn: 7, parts: 7 }, { ...heard, parts: null, text: 7, time: "x" })).toHaveLength(3);
  });

  test("what the house says first was not asked by the person", () => {
    const message = (id: string, role: string, text: string) => ({ id, role, parts: [{ type: "text" as const, text }], at: 1 });
    const turn = { id: "t", at: 1, heard: message("h", "system", "tea"), spoke: [message("s", "assistant", "tea")], passages: [], model: "", outcome: "answered" };
    expect(remembered(turn).map((one) => one.by)).toEqual(["kith"]);
  });

  test("a stored turn is what was said", () => {
    const message = (id: string, role: string, text: string) => ({ id, role, parts: [{ type: "text" as const, text }], at: 1 });
    const turn = { id: "t", at: 1, heard: message("h", "user", "hi"), spoke: [message("s", "assistant", "ho")], passages: [{ text: "", source: "s", score: 1, title: "T" }], model: "m", outcome: "answered" };
    expect(remembered(turn).map((one) => [one.by, one.text, one.sources])).toEqual([["me", "hi", []], ["kith", "ho", ["T"]]]);
  });
});

class Socket {
  static all: Socket[] = [];
  readyState = 0;
  sent: string[] = [];
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;
  constructor(readonly url: string, readonly protocols: string[]) {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.readyState = 3;
    this.onclose?.({ code: 1006 });
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
}

describe("the line", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.all = [];
  });
  afterEach(() => vi.useRealTimers());

  function line(): { live: Live; heard: string[]; opened: () => number } {
    const heard: string[] = [];
    let opened = 0;
    const hooks = { frame: (frame: Frame) => heard.push(frame.type), open: () => opened++, refused: () => undefined };
    const live = new Live(hooks, (url, protocols) => new Socket(url, protocols) as unknown as WebSocket);
    live.start();
    return { live, heard, opened: () => opened };
  }

  test("no secret passes through the script", () => {
    line();
    expect(Socket.all[0]?.protocols).toEqual(["kith"]);
    expect(Socket.all[0]?.url).toMatch(/\/api\/channels\/web\/live$/);
  });

  test("it comes back after it broke, ever more slowly, and stays away after stop", () => {
    const { live, opened } = line();
    Socket.all[0]?.open();
    Socket.all[0]?.close();
    expect(live.line.get()).toBe("waiting");
    vi.advanceTimersByTime(1000);
    expect(Socket.all).toHaveLength(2);
    Socket.all[1]?.open();
    expect(opened()).toBe(2);
    live.stop();
    vi.advanceTimersByTime(60_000);
    expect(Socket.all).toHaveLength(2);
  });

  test("a silent line is pinged and, without an answer, opened anew", () => {
    const { heard } = line();
    Socket.all[0]?.open();
    Socket.all[0]?.onmessage?.({ data: '{"type":"pong"}' });
    Socket.all[0]?.onmessage?.({ data: "not json" });
    expect(heard).toEqual(["pong"]);
    vi.advanceTimersByTime(25_000);
    expect(Socket.all[0]?.sent).toEqual(['{"type":"ping"}']);
    vi.advanceTimersByTime(20_000);
    expect(Socket.all.length).toBeGreaterThan(1);
  });
});

describe("a conversation that is being opened", () => {
  afterEach(() => vi.unstubAllGlobals());

  const message = (id: string, role: string, text: string) => ({ id, role, parts: [{ type: "text" as const, text }], at: 1 });
  const turn = (id: string) => ({ id, at: 1, heard: message(`h${id}`, "user", "hi"), spoke: [message(`s${id}`, "assistant", "ho")], passages: [], model: "m", outcome: "answered" });

  /** A page whose two requests, the list and the turns, are answered when the test says so. */
  function opened(): { talk: Talk; socket: Socket; answer: (body: unknown) => Promise<void> } {
    Socket.all = [];
    const waiting: ((body: unknown) => void)[] = [];
    const asked = (): Promise<Response> => new Promise((done) => waiting.push((body) => done(Response.json(body))));
    vi.stubGlobal("fetch", asked);
    const talk = new Talk((url, protocols) => new Socket(url, protocols) as unknown as WebSocket);
    talk.live.start();
    talk.thread("main");
    const answer = async (body: unknown): Promise<void> => {
      await eventually(() => expect(waiting).not.toHaveLength(0));
      waiting.shift()?.(body);
    };
    return { talk, socket: Socket.all[0] as Socket, answer };
  }
  const sent = (socket: Socket): string[] => socket.sent.map((text) => (JSON.parse(text) as Frame).type);

  test("what is said before the line is open and the past is there goes out all the same", async () => {
    const { talk, socket, answer } = opened();
    talk.say("main", "early", "");
    socket.open();
    expect(sent(socket)).toEqual([]);
    await answer({ conversations: [] });
    await eventually(() => expect(sent(socket)).toEqual(["resume", "message"]));
    talk.live.stop();
  });

  test("what was answered while the past was fetched is shown once", async () => {
    const { talk, socket, answer } = opened();
    socket.open();
    await answer({ conversations: [{ id: "c", name: "main" }] });
    talk.say("main", "hi", "");
    const said = JSON.parse(socket.sent[0] ?? "{}") as Frame;
    for (const frame of [{ type: "accepted", id: said.id, turn: "two" }, { type: "message", id: "stwo", turn: "two", text: "ho" }])
      socket.onmessage?.({ data: JSON.stringify({ ...frame, conversation: "main", at: "b.1.two" }) });
    await eventually(() => expect(talk.thread("main").get().said.map((one) => one.text)).toEqual(["hi", "ho"]));
    await answer({ turns: [turn("one"), turn("two")] });
    await eventually(() => expect(talk.thread("main").get().loaded).toBe(true));
    expect(talk.thread("main").get().said.map((one) => [one.turn, one.text])).toEqual([["one", "hi"], ["one", "ho"], ["two", "hi"], ["two", "ho"]]);
    talk.live.stop();
  });
});

describe("texts", () => {
  test("both languages have the same keys and the same places to fill", () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
    const places = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
    for (const [key, text] of Object.entries(en)) expect(places(zh[key as keyof typeof en]), key).toEqual(places(text));
  });
});

describe("the graph of a flow", () => {
  test("names that are hostile stay names", () => {
    const graph = drawn({ initial: "start", states: { start: {}, 'x"]; click a "javascript:1"': {} }, transitions: [{ from: "start", to: 'x"]; click a "javascript:1"', on: ["yes"] }] });
    expect(graph.split("\n")[0]).toBe("flowchart LR");
    expect(graph.match(/"/g)?.length).toBe(6);
  });

  test("a flow without transitions has none", () => {
    expect(drawn({ initial: "", states: undefined, transitions: [] })).toBe("");
  });
});
