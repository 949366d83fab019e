import { cleanup, fireEvent, render } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Turn } from "../src/api";
import { Archive, joined } from "../src/chat/archive";

const said = (id: string, role: string, text: string) => ({ id, role, parts: [{ type: "text" as const, text }], at: 1 });
const turn = (n: number): Turn => ({ id: `t${n}`, at: n, heard: said(`h${n}`, "user", `question ${n}.`), spoke: [said(`s${n}`, "assistant", `answer ${n}.`)], passages: [], model: "m", outcome: "answered" });
const turns = (from: number, to: number): Turn[] => Array.from({ length: to - from + 1 }, (_, n) => turn(from + n));

/** A conversation as the server tells it: the last turns, or the last before one of them. */
function server(all: Turn[]): { all: Turn[]; asked: string[]; broken: boolean } {
  const house = { all, asked: [] as string[], broken: false };
  vi.stubGlobal("fetch", (address: string) => {
    const query = new URL(address, "http://kith").searchParams;
    const before = query.get("before");
    house.asked.push(before ?? "");
    if (house.broken && before) return Promise.reject(new TypeError("no network"));
    const known = before ? house.all.slice(0, house.all.findIndex((one) => one.id === before)) : house.all;
    return Promise.resolve(Response.json({ conversation: "c", turns: known.slice(-Number(query.get("limit"))) }));
  });
  return house;
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

// By its place: to look for a role takes a second among so many messages.
const earlier = (): HTMLElement | null => document.querySelector<HTMLElement>(".earlier button");
const shown = (): string[] => [...document.querySelectorAll(".bubble")].map((one) => one.textContent ?? "");
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 30_000 });

test("turns before the last two hundred are fetched, with the keyboard too, until the first", async () => {
  const house = server(turns(1, 203));
  render(<Archive id="c" />);
  await eventually(() => expect(shown()).toHaveLength(200));
  expect(shown()[0]).toBe("question 4.");
  house.broken = true;
  earlier()?.focus();
  fireEvent.click(earlier() as HTMLElement);
  await eventually(() => expect(document.querySelector("[role=alert]")).not.toBeNull());
  expect(document.activeElement).toBe(earlier());
  house.broken = false;
  fireEvent.click(earlier() as HTMLElement);
  await eventually(() => expect(shown()).toEqual(turns(1, 203).map((one) => `question ${one.at}.`)));
  // Whoever used the button goes on reading with the same keys.
  await eventually(() => expect(document.activeElement).toBe(document.querySelector("[role=log]")));
  expect(earlier()).toBeNull();
  expect(house.asked.filter(Boolean)).toEqual(["t4", "t4"]);
});

test("a short conversation has no earlier page", async () => {
  server(turns(1, 3));
  render(<Archive id="c" />);
  await eventually(() => expect(shown()).toHaveLength(3));
  expect(earlier()).toBeNull();
});

test("what comes later goes behind what was fetched; what cannot be joined begins anew", () => {
  const ids = (all: Turn[]): string[] => all.map((one) => one.id);
  expect(ids(joined(turns(1, 5), turns(4, 7)))).toEqual(ids(turns(1, 7)));
  expect(ids(joined(turns(1, 5), turns(7, 9)))).toEqual(ids(turns(7, 9)));
  expect(joined(turns(1, 5), [])).toEqual([]);
  expect(ids(joined([], turns(1, 2)))).toEqual(["t1", "t2"]);
});
