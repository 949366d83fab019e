import { Store } from "./store";

export type Frame = { type: string; conversation?: string; at?: string; [key: string]: unknown };
export type Line = "closed" | "connecting" | "open" | "waiting";

type Hooks = { frame: (frame: Frame) => void; open: () => void; refused: () => void };

const PING = 25_000;
const SILENCE = 15_000;
const SLOWEST = 15_000;
/** How long a line that may have died in a sleep has for a word, and a new one for opening. */
const WAKING = 5000;
const OPENING = 15_000;

/**
 * One WebSocket to the channel `web` that comes back by itself. The browser sends the session's cookie along, so no
 * secret passes through a script.
 */
export class Live {
  readonly line = new Store<Line>("closed");
  #socket: WebSocket | null = null;
  #tries = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;
  #closed = true;

  constructor(
    private readonly hooks: Hooks,
    private readonly make: (url: string, protocols: string[]) => WebSocket = (url, p) => new WebSocket(url, p),
  ) {}

  start(): void {
    this.#closed = false;
    window.addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#connect();
  }

  stop(): void {
    this.#closed = true;
    window.removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearTimeout(this.#retry);
    clearTimeout(this.#pulse);
    this.#socket?.close();
    this.#socket = null;
    this.line.set("closed");
  }

  /** Whether the frame went out. What did not is said again after the next opening. */
  send(frame: Frame): boolean {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  readonly #hurry = (): void => {
    if (document.visibilityState === "hidden") return;
    if (this.line.get() === "open") this.#ask(WAKING);
    if (this.line.get() !== "waiting") return;
    clearTimeout(this.#retry);
    this.#connect();
  };

  #connect(): void {
    this.line.set("connecting");
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/channels/web/live`;
    const socket = this.make(url, ["kith"]);
    this.#socket = socket;
    let opened = false;
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => this.#drop(), OPENING);
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      opened = true;
      this.#tries = 0;
      this.line.set("open");
      this.#beat();
      this.hooks.open();
    };
    socket.onmessage = (event: MessageEvent) => {
      if (socket !== this.#socket) return;
      this.#beat();
      const frame = read(String(event.data));
      if (frame) this.hooks.frame(frame);
    };
    socket.onclose = (event: CloseEvent) => {
      if (socket !== this.#socket) return;
      clearTimeout(this.#pulse);
      this.#socket = null;
      if (this.#closed) return;
      if (event.code === 1008 || !opened) this.hooks.refused();
      this.#again();
    };
  }

  #again(): void {
    this.line.set("waiting");
    const wait = Math.min(SLOWEST, 400 * 2 ** this.#tries++) * (0.7 + Math.random() * 0.6);
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  /** A connection that died without a word is noticed: a ping has to be answered. */
  #beat(): void {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => this.#ask(SILENCE), PING);
  }

  #ask(patience: number): void {
    clearTimeout(this.#pulse);
    this.send({ type: "ping" });
    this.#pulse = setTimeout(() => this.#drop(), patience);
  }

  /** Give up a connection at once: without a network its closing would wait for the other side. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    if (!this.#closed) this.#again();
  }
}

function read(text: string): Frame | null {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null && "type" in found ? (found as Frame) : null;
  } catch {
    return null;
  }
}
