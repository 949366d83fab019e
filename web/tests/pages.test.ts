import { describe, expect, test } from "vitest";
import type { Figures } from "../src/pages/figures";
import { pointOf } from "../src/pages/figures";
import { sankey } from "../src/pages/paths";
import { opened, written } from "../src/passkey";
import { document, lores } from "../src/pages/mask";
import type { Schema } from "../src/ui/schema";
import { kindOf, resolved, textOf, valueOf } from "../src/ui/schema";
import { words } from "../src/words";

describe("a form from a schema", () => {
  const root: Schema = {
    $defs: { Tls: { properties: { automatic: { type: "boolean" } } }, Level: { enum: ["info", "debug"] } },
    properties: { tls: { $ref: "#/$defs/Tls", description: "how" }, limit: { anyOf: [{ type: "integer" }, { type: "null" }], default: null } },
  };

  test("references and optional values are seen through", () => {
    expect(resolved(root.properties?.tls ?? {}, root)).toMatchObject({ description: "how", properties: { automatic: { type: "boolean" } } });
    expect(kindOf(resolved(root.properties?.limit ?? {}, root), "limit")).toBe("whole");
    expect(kindOf(resolved({ $ref: "#/$defs/Level" }, root), "level")).toBe("choice");
    expect(kindOf(resolved({ $ref: "#/$defs/None" }, root), "x")).toBe("other");
  });

  test.each([
    ["bot_token", "secret"], ["api_key", "secret"], ["password", "secret"], ["apikey", "secret"], ["keyboard", "text"], ["name", "text"],
  ])("what is a secret by its name is not shown: %s", (name, kind) => {
    expect(kindOf({ type: "string" }, name)).toBe(kind);
  });

  test("what was typed becomes a value, and nothing becomes null", () => {
    expect(valueOf("12", "whole")).toBe(12);
    expect(valueOf(" ", "number")).toBe(null);
    expect(valueOf("true", "flag")).toBe(true);
    expect(valueOf("a\n\n b ", "lines")).toEqual(["a", "b"]);
    expect(() => valueOf("many", "whole")).toThrow(RangeError);
    expect([textOf(null), textOf(["a", 1]), textOf({ a: 1 }), textOf(false)]).toEqual(["", "a\n1", '{"a":1}', "false"]);
  });
});

describe("live figures", () => {
  const at = (time: number, cpu: number, turns: number): Figures => ({
    at: time, process: { memory: 5, cpu }, machine: { memory: 9, available: 4, cpu: 0 },
    metrics: [{ name: "kith_turns_total", kind: "counter", text: "", rows: [{ labels: {}, value: turns }, { labels: { a: "b" }, value: 1 }] }],
  });

  test("rates are what changed; the first look has none, and a restart gives no negative ones", () => {
    expect(pointOf(null, at(10, 100, 50))).toMatchObject({ cpu: 0, turns: 0, memory: 5 });
    expect(pointOf(at(10, 1, 50), at(12, 2, 52))).toMatchObject({ cpu: 50, turns: 60 });
    expect(pointOf(at(10, 9, 50), at(12, 1, 1))).toMatchObject({ cpu: 0, turns: 0 });
    expect(pointOf(at(10, 1, 50), at(10, 1, 50)).cpu).toBe(0);
  });
});

describe("paths as a river", () => {
  const parsed = (nodes: string[], links: [string, string][]) =>
    JSON.parse(sankey({ nodes: nodes.map((id) => ({ id, name: id.split("|").at(-1) ?? id })), links: links.map(([source, target]) => ({ source, target, value: 1 })) })).series[0];

  test("circles are cut, because a river does not flow uphill", () => {
    const found = parsed(["a", "b", "c"], [["a", "b"], ["b", "c"], ["c", "a"], ["b", "b"]]);
    expect(found.links.map((one: { source: string; target: string }) => one.source + one.target)).toEqual(["ab", "bc"]);
  });

  test("two nodes of one name stay two", () => {
    const found = parsed(["1|x", "2|x"], [["1|x", "2|x"]]);
    expect(new Set(found.data.map((one: { name: string }) => one.name)).size).toBe(2);
  });
});

test("a place to fill that nothing fills stays as it is", () => {
  expect(words("en")("channels.written")).toContain("${NAME}");
});

describe("passkeys", () => {
  test("what is binary is opened, names stay text", () => {
    const found = opened({ challenge: "aGk_-w", rp: { id: "localhost", name: "Kith" }, user: { id: "AQI", name: "owner" }, allowCredentials: [{ id: "AQ", type: "public-key" }], timeout: 5 }) as { challenge: Uint8Array; allowCredentials: { id: Uint8Array }[] };
    expect([...found.challenge]).toEqual([104, 105, 63, 251]);
    expect(found).toMatchObject({ rp: { id: "localhost" }, timeout: 5, user: { name: "owner" } });
    expect([...(found.allowCredentials[0]?.id ?? [])]).toEqual([1]);
  });

  test("what was answered is written as the server reads it", () => {
    const raw = new Uint8Array([251, 255, 1]).buffer;
    const found = written({ id: "x", rawId: raw, type: "public-key", response: { clientDataJSON: raw, signature: raw, userHandle: null } } as unknown as PublicKeyCredential);
    expect(found).toEqual({ id: "x", rawId: "-_8B", type: "public-key", response: { clientDataJSON: "-_8B", signature: "-_8B" }, clientExtensionResults: {} });
  });
});

describe("a persona's form", () => {
  test("what it knows is a line for each piece, with either colon", () => {
    expect(lores("harbour, 码头: opens: at six\n\n船：六点")).toEqual([{ keys: ["harbour", "码头"], text: "opens: at six" }, { keys: ["船"], text: "六点" }]);
    expect(lores("no colon")).toEqual([{ keys: ["no colon"], text: "" }]);
  });

  test("what is empty is left out of the document", () => {
    expect(document({ title: " Lin ", description: "", style: "short", tools: "a，b, ", knowledge: "" }, null)).toEqual({ name: "Lin", style: "short", tools: ["a", "b"], knowledge: [] });
  });
});
