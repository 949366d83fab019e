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
export type Part =
  | { type: "text"; text: string }
  | { type: "data"; kind: string; value: Record<string, unknown> }
  | { type: "image" | "audio" | "file"; blob: string; mime: string; name: string; size: number }
  | { type: "tool_call" | "tool_result"; [key: string]: unknown };
export type Message = { id: string; role: string; parts: Part[]; at: number };
export type Turn = {
  id: string;
  at: number;
  heard: Message;
  spoke: Message[];
  passages: { text: string; source: string; score: number; title: string }[];
  model: string;
  outcome: string;
};
export type Model = {
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
    readonly faults: { path: string; reason: string }[] = [],
  ) {
    super(message);
  }
}

export const token = new Store(kept("session", "token") || kept("local", "token"));
export const me = new Store<Me | null>(null);

export async function call<T>(path: string, method = "GET", body?: unknown): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Failure(0, "unreachable", "Kith cannot be reached");
  }
  const told: unknown = await answer.json().catch(() => null);
  if (answer.ok) return told as T;
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

/** Sign in with a token; it stays in this tab unless `stay`. Throws `Failure`. */
export async function enter(given: string, stay: boolean): Promise<void> {
  token.set(given);
  try {
    me.set(await call<Me>("/api/me"));
  } catch (error) {
    token.set("");
    throw error;
  }
  keep(stay ? "local" : "session", "token", given);
}

/** Sign in again with the token that was kept, if any. */
export async function resume(): Promise<void> {
  if (!token.get()) return;
  me.set(await call<Me>("/api/me"));
}

export function forget(): void {
  keep("session", "token", "");
  keep("local", "token", "");
  token.set("");
  me.set(null);
}

export const path = encodeURIComponent;
