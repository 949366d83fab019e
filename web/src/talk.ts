import type { Media, Part, Talked, Turn } from "./api";
import { call, path } from "./api";
import type { Frame } from "./live";
import { Live } from "./live";
import { language } from "./prefs";
import { Store } from "./store";

export type Said = {
  id: string;
  by: "me" | "kith";
  text: string;
  parts: Part[];
  turn: string;
  at: number;
  sources: string[];
  model: string;
  state: "sending" | "kept" | "coming" | "done" | "failed" | "stopped";
  note: string;
  /** Whether another model than the one that was to answer did. */
  fallback?: boolean;
  /** The model that was asked for, where another one answered. */
  instead?: string;
  /** What was looked up, as far as it is known: for a live reply only after a reload. */
  passages?: { text: string; title: string }[];
  /** What the person thinks of a reply: 1, -1, or 0 for nothing. */
  rating?: number;
};
export type Draft = { text: string; parts: Media[] };
/** `earlier` tells whether there may be more before what is here, `ahead` how much of it was fetched later. */
export type Thread = { name: string; said: Said[]; loaded: boolean; error: string; earlier: boolean; ahead: number };

const KEPT = 100;
const MOMENT = 30;

/** Everything that is said in the conversations that this page follows. The server's turns are the truth. */
export class Talk {
  readonly list = new Store<Talked[] | null>(null);
  readonly live: Live;
  readonly #threads = new Map<string, Store<Thread>>();
  readonly #cursor = new Map<string, string>();
  readonly #models = new Map<string, string>();
  /** What is being written in each conversation, kept while other pages are looked at. */
  readonly drafts = new Map<string, Draft>();
  #asked = 0;
  #listed = 0;
  #openings = 0;
  #heard: Frame[] = [];

  constructor(make?: (url: string, protocols: string[]) => WebSocket) {
    const hooks = {
      frame: (frame: Frame) => this.#hear(frame),
      open: () => this.#opened(),
      refused: () => void call("/api/me").catch(() => undefined),
    };
    this.live = make ? new Live(hooks, make) : new Live(hooks);
  }

  thread(name: string): Store<Thread> {
    const known = this.#threads.get(name);
    if (known) return known;
    const made = new Store<Thread>({ name, said: [], loaded: false, error: "", earlier: false, ahead: 0 });
    this.#threads.set(name, made);
    void this.#load(name);
    return made;
  }

  /** Read the list of conversations again. */
  async refresh(): Promise<void> {
    await this.#list().catch(() => undefined);
  }

  /** Throws `Failure`. An answer that a later one has overtaken changes nothing. */
  async #list(): Promise<void> {
    const mine = ++this.#asked;
    const told = await call<{ conversations: Talked[] }>("/api/history?limit=100");
    if (mine < this.#listed) return;
    this.#listed = mine;
    this.list.set(told.conversations);
  }

  /** Read a conversation again that could not be read. */
  reload(name: string): void {
    this.#patch(name, { loaded: false, error: "" });
    void this.#load(name);
  }

  say(name: string, text: string, model: string, parts: Media[] = []): void {
    this.thread(name);
    const id = crypto.randomUUID();
    this.#models.set(id, model);
    const said: Said = { ...blank(id, "me"), text, parts, model, state: "sending", at: Date.now() / 1000 };
    this.#edit(name, (all) => [...all, said]);
    this.#send(name, said);
  }

  /** Send again what could not be sent. */
  again(name: string, id: string): void {
    const said = this.thread(name).get().said.find((one) => one.id === id);
    if (!said) return;
    this.#edit(name, (all) => all.map((one) => (one.id === id ? { ...one, state: "sending", note: "" } : one)));
    this.#send(name, said);
  }

  /** The server's id of a conversation; empty before anything was said in it. */
  id(name: string): string {
    return this.list.get()?.find((one) => one.name === name)?.id ?? "";
  }

  /** Fetch what was said before. Throws `Failure`. */
  async earlier(name: string): Promise<void> {
    const first = this.thread(name).get().said.find((one) => one.turn)?.turn;
    if (!first) return;
    const { turns } = await call<{ turns: Turn[] }>(`/api/conversations/${path(this.id(name))}/turns?limit=${KEPT}&before=${path(first)}`);
    const { said, ahead } = this.thread(name).get();
    const here = new Set(said.map((one) => one.turn));
    const past = turns.filter((turn) => !here.has(turn.id)).flatMap(remembered);
    this.#patch(name, { said: [...past, ...said], ahead: ahead + past.length, earlier: turns.length === KEPT });
  }

  /** Say what one thinks of a reply, 0 to take it back. Throws `Failure`. */
  async rate(name: string, turn: string, rating: number): Promise<void> {
    await call(`/api/turns/${path(turn)}/rating`, "POST", { rating, note: "" });
    this.#edit(name, (all) => all.map((one) => (one.by === "kith" && one.turn === turn ? { ...one, rating } : one)));
  }

  /** A new conversation with what was said in this one up to a turn, or up to `before` it; its name. */
  async branch(name: string, turn: string, before: boolean): Promise<string> {
    if (!this.id(name)) await this.refresh();
    const fresh = crypto.randomUUID().slice(0, 8);
    await call(`/api/conversations/${path(this.id(name))}/branch`, "POST", { turn, name: fresh, before });
    await this.refresh();
    return fresh;
  }

  stop(name: string): void {
    const coming = this.thread(name).get().said.findLast((one) => one.state === "coming");
    if (coming) this.live.send({ type: "cancel", turn: coming.turn });
  }

  #send(name: string, said: Said): void {
    const model = this.#models.get(said.id) ?? "";
    const frame = { type: "message", id: said.id, conversation: name, text: said.text, locale: language.get() };
    const parts = said.parts.length > 0 ? { parts: said.parts } : {};
    this.live.send({ ...frame, ...parts, ...(model ? { model } : {}) });
  }

  async #load(name: string): Promise<void> {
    try {
      if (this.list.get() === null) await this.#list();
      const after = this.id(name) ? await this.#remember(name) : "";
      if (!this.#cursor.has(name)) this.#cursor.set(name, after);
      this.#patch(name, { loaded: true, error: "" });
    } catch (error) {
      this.#patch(name, { loaded: true, error: error instanceof Error ? error.message : String(error) });
    }
    this.#follow(name);
  }

  /** Put what is stored of a conversation before what the page saw of it; the last turn. Throws `Failure`. */
  async #remember(name: string): Promise<string> {
    const { turns } = await call<{ turns: Turn[] }>(`/api/conversations/${path(this.id(name))}/turns?limit=${KEPT}`);
    const { said, earlier, loaded } = this.thread(name).get();
    this.#patch(name, { said: merged(turns.flatMap(remembered), said), earlier: loaded ? earlier : turns.length === KEPT });
    return turns.at(-1)?.id ?? "";
  }

  /** What another page or device said is heard here only as its answer: the rest of that turn is in the store. */
  #complete(name: string, frames: Frame[]): void {
    const { said, loaded, error } = this.thread(name).get();
    const strange = frames.some((one) => one.type === "end" && one.turn && !said.some((known) => known.by === "me" && known.turn === one.turn));
    if (strange && loaded && !error) void this.#list().then(() => (this.id(name) ? this.#remember(name) : "")).catch(() => undefined);
  }

  #opened(): void {
    if (++this.#openings > 1) void this.refresh();
    for (const [name, store] of this.#threads) {
      if (store.get().error) this.reload(name);
      else if (store.get().loaded) this.#follow(name);
    }
  }

  /** Follow a conversation, and say again what may not have gone out: its id makes a second copy harmless. */
  #follow(name: string): void {
    this.live.send({ type: "resume", conversation: name, after: this.#cursor.get(name) ?? null });
    for (const said of this.thread(name).get().said) if (said.state === "sending") this.#send(name, said);
  }

  /** Frames come faster than a page can be drawn: those of one moment change it once. */
  #hear(frame: Frame): void {
    if (this.#heard.push(frame) === 1) setTimeout(() => this.#show(), MOMENT);
  }

  #show(): void {
    const frames = this.#heard;
    this.#heard = [];
    for (const [name, store] of this.#threads) {
      const mine = frames.filter((frame) => (frame.conversation ?? this.#whose(String(frame.id ?? ""))) === name);
      if (mine.length === 0) continue;
      for (const frame of mine) if (frame.at) this.#cursor.set(name, String(frame.at));
      store.set({ ...store.get(), said: mine.reduce((all, frame) => CHANGES[frame.type]?.(all, frame) ?? all, store.get().said) });
      this.#complete(name, mine);
    }
    if (frames.some((frame) => frame.type === "end" || frame.type === "accepted")) void this.refresh();
  }

  #whose(id: string): string {
    for (const [name, store] of this.#threads) if (store.get().said.some((one) => one.id === id)) return name;
    return "";
  }

  #edit(name: string, change: (all: Said[]) => Said[]): void {
    const store = this.#threads.get(name);
    if (store) store.set({ ...store.get(), said: change(store.get().said) });
  }

  #patch(name: string, part: Partial<Thread>): void {
    const store = this.#threads.get(name);
    if (store) store.set({ ...store.get(), ...part });
  }
}

function blank(id: string, by: Said["by"]): Said {
  return { id, by, text: "", parts: [], turn: "", at: 0, sources: [], model: "", state: "done", note: "" };
}

/** What is stored and what the page saw, each once: of a turn that began on this page its own view stays, it knows more. */
export function merged(past: Said[], all: Said[]): Said[] {
  const own = new Set(all.flatMap((one) => (one.by === "me" && one.turn ? [one.turn] : [])));
  const stored = [...new Set(past.map((one) => one.turn))];
  const told = stored.flatMap((turn) => (own.has(turn) ? all : past).filter((one) => one.turn === turn));
  // What is older than the store's last turns was fetched or shown before them, and stays there.
  const begin = all.findIndex((one) => stored.includes(one.turn));
  const others = (part: Said[]): Said[] => part.filter((one) => !stored.includes(one.turn));
  return [...others(all.slice(0, Math.max(0, begin))), ...told, ...others(all.slice(Math.max(0, begin)))];
}

function words(parts: Part[]): string {
  return parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}

/** A stored turn as what was said. */
export function remembered(turn: Turn): Said[] {
  const brought = turn.heard.parts.filter((part) => part.type === "image" || part.type === "audio" || part.type === "file");
  const heard: Said = { ...blank(turn.heard.id, "me"), text: words(turn.heard.parts), parts: brought, turn: turn.id, at: turn.at };
  const sources = turn.passages.map((passage) => passage.title || passage.source);
  const passages = turn.passages.map(({ text, title, source }) => ({ text, title: title || source }));
  const answers = turn.spoke.map((message): Said => {
    const parts = message.parts.filter((part) => part.type !== "text");
    const state = turn.outcome === "failed" ? "failed" : "done";
    const shared = { turn: turn.id, at: message.at, sources, passages, model: turn.model, fallback: turn.fallback === true, rating: turn.rating ?? 0, state } as const;
    return { ...blank(message.id, "kith"), ...shared, text: words(message.parts), parts };
  });
  // What the house itself says first, a reminder, was not asked for.
  return turn.heard.role === "system" ? answers : [heard, ...answers];
}

type Change = (all: Said[], frame: Frame) => Said[];

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** How each frame of the server changes what is on the page. */
export const CHANGES: Record<string, Change> = {
  accepted: (all, frame) => {
    const turn = text(frame.turn);
    // Accepted before, and known from the store by now: a second copy of it shows nothing new.
    if (all.some((one) => one.by === "me" && one.turn === turn && one.id !== frame.id)) return all.filter((one) => one.id !== frame.id);
    const sent = all.map((one): Said => (one.id === frame.id ? { ...one, turn, state: "kept" } : one));
    if (sent.some((one) => one.by === "kith" && one.turn === turn)) return sent;
    return [...sent, coming(turn)];
  },
  // What waits for its reply, though this page did not say it, or said it before it was read anew.
  heard: (all, frame) => {
    const turn = text(frame.turn);
    if (!turn || all.some((one) => one.by === "me" && one.turn === turn)) return all;
    if (all.some((one) => one.id === frame.id)) return CHANGES.accepted?.(all, frame) ?? all;
    const parts = Array.isArray(frame.parts) ? (frame.parts as Part[]) : [];
    const asked: Said = { ...blank(text(frame.id), "me"), text: text(frame.text), parts, turn, at: Number(frame.time) || 0, state: "kept" };
    const growing = all.findIndex((one) => one.turn === turn);
    if (growing >= 0) return all.toSpliced(growing, 0, asked);
    // What this page has yet to send comes behind it.
    const unsent = all.findIndex((one) => one.by === "me" && !one.turn);
    return all.toSpliced(unsent < 0 ? all.length : unsent, 0, asked, coming(turn));
  },
  delta: (all, frame) => {
    const turn = text(frame.turn);
    const open = all.some((one) => one.turn === turn && one.state === "coming") ? all : [...all, coming(turn)];
    return open.map((one) =>
      one.turn === turn && one.state === "coming" ? { ...one, text: one.text + text(frame.text) } : one,
    );
  },
  reset: (all, frame) =>
    all.map((one) => (one.turn === frame.turn && one.state === "coming" ? { ...one, text: "" } : one)),
  message: (all, frame) => {
    const id = text(frame.id);
    if (all.some((one) => one.id === id)) return all;
    const asked = all.find((one) => one.by === "me" && one.turn === text(frame.turn))?.model ?? "";
    const whole: Said = {
      ...blank(id, "kith"),
      instead: asked && text(frame.model) && asked !== text(frame.model) ? asked : "",
      text: text(frame.text),
      parts: Array.isArray(frame.parts) ? (frame.parts as Part[]) : [],
      turn: text(frame.turn),
      at: Date.now() / 1000,
      sources: Array.isArray(frame.sources) ? frame.sources.map(String) : [],
      model: text(frame.model),
      fallback: frame.fallback === true,
    };
    const place = all.findIndex((one) => one.turn === whole.turn && one.state === "coming");
    return place < 0 ? [...all, whole] : all.with(place, whole);
  },
  end: (all, frame) => {
    const open = (one: Said): boolean => one.turn === frame.turn && one.state === "coming";
    if (!frame.code) return all.filter((one) => !open(one) || one.text !== "").map((one) => (open(one) ? { ...one, state: "done" } : one));
    const state = frame.code === "cancelled" ? "stopped" : "failed";
    return all.map((one) => (open(one) ? { ...one, state, note: state === "failed" ? text(frame.text) : "" } : one));
  },
  error: (all, frame) => {
    const note = [text(frame.message), text(frame.detail), text(frame.hint)].filter(Boolean).join(" ");
    return all.map((one) => (one.id === frame.id ? { ...one, state: "failed", note } : one));
  },
};

function coming(turn: string): Said {
  return { ...blank(`coming ${turn}`, "kith"), turn, state: "coming", at: Date.now() / 1000 };
}
