import { language } from "./prefs";
import { keep, kept, Store } from "./store";

export type Role = "owner" | "admin" | "member" | "guest";
export type Me = { id: string; name: string; role: Role; version: string };
export type Talked = {
  id: string;
  channel: string;
  name: string;
  kind: string;
  updated: number;
  title: string;
  excerpt: string;
  turn: string;
};
export type Media = { type: "image" | "audio" | "file"; blob: string; mime: string; name: string; size: number };
export type Part =
  | { type: "text"; text: string }
  | { type: "data"; kind: string; value: Record<string, unknown> }
  | Media
  | { type: "tool_call" | "tool_result"; [key: string]: unknown };
export type Message = { id: string; role: string; parts: Part[]; at: number };
export type Turn = {
  id: string;
  at: number;
  heard: Message;
  spoke: Message[];
  passages: { text: string; source: string; score: number; title: string }[];
  model: string;
  fallback?: boolean;
  outcome: string;
  /** 1, -1, or 0 for not at all. */
  rating?: number;
};
export type Model = {
  version: string;
  name: string;
  kind: string;
  backend: string;
  architecture: string;
  parameters: number;
  quantisation: string;
  context: number;
  memory: number;
  capabilities: string[];
  licence: string;
  condition: string;
  detail: string;
};
export type State = {
  version: string;
  ready: boolean;
  started: boolean;
  components: Record<string, { condition: string; detail: string; required: boolean }>;
};
export type Flow = {
  name: string;
  version: string;
  file: string;
  threshold: number;
  initial: string;
  intents: { name: string; patterns: number; examples: string[]; responses?: unknown; [key: string]: unknown }[];
  states?: Record<string, unknown> | { name: string }[];
  transitions?: Record<string, unknown>[];
  warnings: { path: string; line: number; reason: string }[];
  error: string;
};
export type Parcel = {
  id: string;
  channel: string;
  target: string;
  state: string;
  attempts: number;
  due: number;
  error: string;
  message: Message;
};
export type Token = { id: string; name: string; role: Role; created: number };

/** What the server refused, in its own words. `status` is 0 when it could not be reached. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint = "",
    readonly faults: { path: string; reason: string; line?: number }[] = [],
  ) {
    super(message);
  }
}

export const me = new Store<Me | null>(null);
/** Whether the person who is here has just become the owner: the house is then shown room by room. */
export const fresh = new Store(false);
export type Proof = { code?: string; name?: string; password?: string; totp?: string; token?: string; passkey?: Record<string, unknown> };

/** Whether this browser was signed in before. The session itself is a cookie that no script can read. */
export const known = (): boolean => kept("local", "known") === "yes";

const going = new Map<string, Promise<unknown>>();

/** Ask the server. The same change asked for twice, by a double click, while it is on its way is one. Throws `Failure`. */
export function call<T>(path: string, method = "GET", body?: unknown): Promise<T> {
  if (method === "GET" || body instanceof Blob) return ask<T>(path, method, body);
  const key = `${method} ${path} ${JSON.stringify(body) ?? ""}`;
  const known = going.get(key);
  if (known) return known as Promise<T>;
  const made = ask<T>(path, method, body).finally(() => going.delete(key));
  going.set(key, made);
  return made;
}

async function ask<T>(path: string, method: string, body: unknown): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", "Accept-Language": language.get() };
  const raw = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = raw ? body.type || "application/octet-stream" : "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : raw ? body : JSON.stringify(body) });
  } catch {
    throw new Failure(0, "unreachable", "Kith cannot be reached");
  }
  const told: unknown = await answer.json().catch(() => null);
  if (answer.ok && (told !== null || method !== "GET")) return told as T;
  if (answer.ok) throw new Failure(0, "unreachable", "the answer broke off");
  const error = (told as { error?: Partial<Failure> } | null)?.error;
  if (answer.status === 401) forget();
  throw new Failure(
    answer.status,
    error?.code ?? "unexpected",
    error?.message ?? `the server answered with status ${answer.status}`,
    error?.hint ?? "",
    error?.faults ?? [],
  );
}

/** Sign in: the server sets the session's cookie. Throws `Failure`, with the code `second_factor_needed` as well. */
export async function enter(proof: Proof): Promise<void> {
  await call("/api/session", "POST", proof);
  keep("local", "known", "yes");
  await resume();
}

/** Go to the provider of single sign-on; it sends the browser back with a session. */
export function depart(): void {
  keep("local", "known", "yes");
  location.assign("/api/oidc/start");
}

/** Go on with the session of this browser. */
export async function resume(): Promise<void> {
  const found = await call<Me>("/api/me");
  keep("local", "who", found.id);
  me.set(found);
}

/** The browser has one session for all of its pages: whoever signs in or out on one of them does so on this one too. */
export function elsewhere(event: Pick<StorageEvent, "key" | "newValue">): void {
  if (event.key !== "kith.who" || (event.newValue ?? "") === (me.get()?.id ?? "")) return;
  if (event.newValue) void resume().catch(() => undefined);
  else forget();
}

/** Sign out, here or in every browser. Throws `Failure` where the server was not told: the session is then still good. */
export async function leave(everywhere = false): Promise<void> {
  await call(everywhere ? "/api/sessions" : "/api/session", "DELETE").catch((reason: unknown) => {
    // Whoever is signed out already is where they wanted to be.
    if (!(reason instanceof Failure && reason.status === 401)) throw reason;
  });
  forget();
}

export function forget(): void {
  keep("local", "known", "");
  keep("local", "who", "");
  fresh.set(false);
  me.set(null);
}

export const path = encodeURIComponent;
