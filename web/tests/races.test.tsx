import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { call, elsewhere, me } from "../src/api";
import { Message } from "../src/chat/said";
import { Live } from "../src/live";
import { useStore } from "../src/store";
import type { Said } from "../src/talk";
import { CHANGES, merged, Talk } from "../src/talk";
import { useLoad } from "../src/ui/load";

/** A machine may be slow, and a deadline costs nothing when all is well. */
const eventually = <T,>(check: () => T): Promise<T> => vi.waitFor(check, { timeout: 30_000 });

type Asked = { path: string; method: string; answer: (body: unknown, status?: number) => void; fail: () => void };

/** A server that answers each request when the test says so. */
function server(): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit) =>
    new Promise<Response>((done, failed) =>
      asked.push({ path, method: init.method ?? "GET", answer: (body, status = 200) => done(Response.json(body, { status })), fail: () => failed(new TypeError("no network")) }),
    ));
  return asked;
}

async function next(asked: Asked[], path: string): Promise<Asked> {
  return eventually(() => {
    const place = asked.findIndex((one) => one.path.startsWith(path));
    expect(place).toBeGreaterThanOrEqual(0);
    return asked.splice(place, 1)[0] as Asked;
  });
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
  me.set(null);
  localStorage.clear();
});

class Socket {
  static all: Socket[] = [];
  readyState = 0;
  sent: string[] = [];
  closed = 0;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;
  constructor() {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  /** As without a network: nobody answers the closing. */
  close(): void {
    this.readyState = 2;
    this.closed++;
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  hear(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}
const make = (): WebSocket => new Socket() as unknown as WebSocket;

describe("answers that come late or broken", () => {
  function Shown({ path }: { path: string }) {
    const { data, error, again } = useLoad<{ name: string }>(path);
    return <button onClick={again}>{error ? `wrong ${String((error as Error).message)}` : (data?.name ?? "nothing")}</button>;
  }

  test("an answer that a later one overtook is not shown", async () => {
    const asked = server();
    render(<Shown path="/a" />);
    fireEvent.click(screen.getByRole("button"));
    const [first, second] = [await next(asked, "/a"), await next(asked, "/a")];
    second.answer({ name: "new" });
    await screen.findByText("new");
    await act(async () => first.answer({ name: "old" }));
    await act(async () => first.fail());
    expect(screen.getByRole("button").textContent).toBe("new");
  });

  test("the fault of one path is not shown for the next", async () => {
    const asked = server();
    const { rerender } = render(<Shown path="/a" />);
    (await next(asked, "/a")).answer({ error: { code: "no", message: "not that" } }, 400);
    await screen.findByText("wrong not that");
    rerender(<Shown path="/b" />);
    await screen.findByText("nothing");
    (await next(asked, "/b")).answer({ name: "bee" });
    await screen.findByText("bee");
  });

  test("an answer that broke off is no answer", async () => {
    vi.stubGlobal("fetch", async () => new Response('{"na', { status: 200 }));
    await expect(call("/a")).rejects.toMatchObject({ status: 0 });
  });
});

test("a form that is sent twice by a double click is sent once, and again after it was answered", async () => {
  const asked = server();
  const both = [call("/api/tokens", "POST", { name: "phone" }), call("/api/tokens", "POST", { name: "phone" })];
  void call("/api/tokens", "POST", { name: "laptop" });
  expect(asked).toHaveLength(2);
  asked[0]?.answer({ token: "t" });
  expect(await Promise.all(both)).toEqual([{ token: "t" }, { token: "t" }]);
  void call("/api/tokens", "POST", { name: "phone" });
  expect(asked).toHaveLength(3);
});

test("who signs out or in on another page of the browser does so on this one", async () => {
  const asked = server();
  me.set({ id: "ann", name: "Ann", role: "member", version: "" });
  elsewhere({ key: "kith.theme", newValue: "dark" });
  elsewhere({ key: "kith.who", newValue: "ann" });
  expect(me.get()?.id).toBe("ann");
  elsewhere({ key: "kith.who", newValue: null });
  expect(me.get()).toBe(null);
  elsewhere({ key: "kith.who", newValue: "ben" });
  (await next(asked, "/api/me")).answer({ id: "ben", name: "Ben", role: "member", version: "" });
  await waitFor(() => expect(me.get()?.id).toBe("ben"));
  expect(localStorage.getItem("kith.who")).toBe("ben");
});

describe("a line after a sleep", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.all = [];
  });

  test("a line that died unnoticed is asked at once when the page is looked at, and left without waiting for its end", () => {
    const live = new Live({ frame: () => undefined, open: () => undefined, refused: () => undefined }, make);
    live.start();
    const [first] = Socket.all as [Socket];
    first.open();
    document.dispatchEvent(new Event("visibilitychange"));
    expect(first.sent).toEqual(['{"type":"ping"}']);
    vi.advanceTimersByTime(5000);
    expect([first.closed, live.line.get()]).toEqual([1, "waiting"]);
    vi.advanceTimersByTime(1000);
    expect(Socket.all).toHaveLength(2);
    first.hear({ type: "pong" });
    first.onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1000);
    expect(Socket.all).toHaveLength(2);
    live.stop();
  });

  test("an opening that nobody answers is given up", () => {
    const live = new Live({ frame: () => undefined, open: () => undefined, refused: () => undefined }, make);
    live.start();
    vi.advanceTimersByTime(17_000);
    expect([Socket.all[0]?.closed, Socket.all.length]).toEqual([1, 2]);
    live.stop();
    vi.advanceTimersByTime(60_000);
    expect(Socket.all).toHaveLength(2);
  });
});

describe("a conversation", () => {
  const message = (id: string, role: string, text: string) => ({ id, role, parts: [{ type: "text" as const, text }], at: 1 });
  const turn = (id: string) => ({ id, at: 1, heard: message(`h${id}`, "user", `hi ${id}`), spoke: [message(`s${id}`, "assistant", `ho ${id}`)], passages: [], model: "m", outcome: "answered" });
  const texts = (talk: Talk): string[] => talk.thread("main").get().said.map((one) => one.text);

  function open(): { talk: Talk; asked: Asked[]; socket: Socket } {
    Socket.all = [];
    const asked = server();
    const talk = new Talk(make);
    talk.live.start();
    talk.thread("main");
    const socket = Socket.all[0] as Socket;
    socket.open();
    return { talk, asked, socket };
  }

  test("a list that could not be read is no empty conversation; it is read again when the line is back", async () => {
    const { talk, asked, socket } = open();
    (await next(asked, "/api/history")).fail();
    await waitFor(() => expect(talk.thread("main").get().error).not.toBe(""));
    expect(socket.sent.map((one) => (JSON.parse(one) as { after: unknown }).after)).toEqual([null]);
    socket.onclose?.({ code: 1006 });
    await eventually(() => expect(Socket.all).toHaveLength(2));
    Socket.all[1]?.open();
    for (const _ of [1, 2]) (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: [turn("one")] });
    await waitFor(() => expect(talk.thread("main").get()).toMatchObject({ loaded: true, error: "" }));
    expect(texts(talk)).toEqual(["hi one", "ho one"]);
    talk.live.stop();
  });

  test("what another page said is shown with its question", async () => {
    const { talk, asked, socket } = open();
    (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: [turn("one")] });
    await waitFor(() => expect(talk.thread("main").get().loaded).toBe(true));
    for (const frame of [{ type: "delta", turn: "two", text: "ho" }, { type: "message", id: "stwo", turn: "two", text: "ho two" }, { type: "end", turn: "two" }])
      socket.hear({ ...frame, conversation: "main", at: "b.1.two" });
    for (const _ of [1, 2]) (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: [turn("one"), turn("two")] });
    await waitFor(() => expect(texts(talk)).toEqual(["hi one", "ho one", "hi two", "ho two"]));
    talk.live.stop();
  });

  test("what was said before the last hundred turns is fetched, once, and stays where it was said", async () => {
    const { talk, asked, socket } = open();
    const many = (from: number, to: number) => Array.from({ length: to - from }, (_, place) => turn(`t${from + place}`));
    (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: many(103, 203) });
    await eventually(() => expect(talk.thread("main").get()).toMatchObject({ loaded: true, earlier: true, ahead: 0 }));
    const failing = talk.earlier("main");
    (await next(asked, "/api/conversations/c/turns")).fail();
    await expect(failing).rejects.toMatchObject({ status: 0 });
    for (const [from, to] of [[3, 103], [0, 4]] as const) {
      const fetched = talk.earlier("main");
      const found = await next(asked, "/api/conversations/c/turns");
      expect(found.path).toBe(`/api/conversations/c/turns?limit=100&before=t${from === 3 ? 103 : 3}`);
      found.answer({ turns: many(from, to) });
      await fetched;
    }
    expect(talk.thread("main").get()).toMatchObject({ earlier: false, ahead: 206 });
    for (const frame of [{ type: "message", id: "st203", turn: "t203", text: "ho t203" }, { type: "end", turn: "t203" }]) socket.hear({ ...frame, conversation: "main", at: "b.1.t203" });
    for (const _ of [1, 2]) (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: many(104, 204) });
    await eventually(() => expect(texts(talk)).toEqual(many(0, 204).flatMap((one) => [`hi ${one.id}`, `ho ${one.id}`])));
    expect(talk.thread("main").get().earlier).toBe(false);
    talk.live.stop();
  });

  test("a rating is there after a reload, is changed and taken back, and stays what it was when that fails", async () => {
    const { talk, asked } = open();
    (await next(asked, "/api/history")).answer({ conversations: [{ id: "c", name: "main" }] });
    (await next(asked, "/api/conversations/c/turns")).answer({ turns: [{ ...turn("one"), rating: 1 }, turn("two")] });
    await eventually(() => expect(talk.thread("main").get().loaded).toBe(true));
    function Shown() {
      const thread = useStore(talk.thread("main"));
      const acts = { rate: (of: string, rating: number) => talk.rate("main", of, rating) };
      return <>{thread.said.filter((one) => one.id === "sone").map((one) => <Message key={one.id} said={one} acts={acts} />)}</>;
    }
    render(<Shown />);
    const pressed = (): (string | null)[] => screen.getAllByRole("button").map((one) => one.getAttribute("aria-pressed")).filter(Boolean);
    const thumb = (place: number): HTMLElement => screen.getAllByRole("button").filter((one) => one.hasAttribute("aria-pressed"))[place] as HTMLElement;
    expect(pressed()).toEqual(["true", "false"]);
    fireEvent.click(thumb(1));
    (await next(asked, "/api/turns/one/rating")).answer({ turn: "one", rating: -1 });
    await eventually(() => expect(pressed()).toEqual(["false", "true"]));
    fireEvent.click(thumb(1));
    (await next(asked, "/api/turns/one/rating")).fail();
    await eventually(() => expect(screen.getByRole("status").textContent).not.toBe(""));
    expect(pressed()).toEqual(["false", "true"]);
    talk.live.stop();
  });

  test("of two answers with the list the later one holds", async () => {
    const { talk, asked } = open();
    (await next(asked, "/api/history")).answer({ conversations: [] });
    await waitFor(() => expect(talk.list.get()).toEqual([]));
    void talk.refresh();
    void talk.refresh();
    const [first, second] = [await next(asked, "/api/history"), await next(asked, "/api/history")];
    second.answer({ conversations: [{ id: "new", name: "n" }] });
    await waitFor(() => expect(talk.list.get()?.[0]?.id).toBe("new"));
    first.answer({ conversations: [{ id: "old", name: "o" }] });
    await Promise.resolve();
    expect(talk.list.get()?.[0]?.id).toBe("new");
    talk.live.stop();
  });

  test("a second copy of a message that the store told already is shown once", () => {
    const one = (id: string, by: Said["by"], of: string): Said => ({ id, by, text: id, parts: [], turn: of, at: 0, sources: [], model: "", state: "done", note: "" });
    const known = merged([one("h", "me", "t"), one("s", "kith", "t")], [{ ...one("mine", "me", ""), state: "sending" }]);
    expect(CHANGES.accepted?.(known, { type: "accepted", id: "mine", turn: "t" }).map((said) => said.id)).toEqual(["h", "s"]);
    const lived = merged([one("h", "me", "t"), one("s", "kith", "t")], [one("mine", "me", "t"), one("coming t", "kith", "t")]);
    expect(lived.map((said) => said.id)).toEqual(["mine", "coming t"]);
  });
});
