type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

// Addresses that a click or a picture would follow, and texts that ECharts would set as HTML.
const FORBIDDEN = new Set(["link", "sublink", "image", "backgroundImage", "graphic", "toolbox", "extraCssText", "renderMode", "__proto__"]);
const DEEPEST = 12;

/** A chart's options without anything that loads, leads away or is HTML. Throws for what is no JSON object. */
export function options(source: string): Record<string, Json> {
  const found: unknown = JSON.parse(source);
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new TypeError("not an object");
  const clean = cleaned(found as Json, 0) as Record<string, Json>;
  const tip = clean.tooltip;
  return { ...clean, tooltip: { ...(typeof tip === "object" && !Array.isArray(tip) ? tip : {}), renderMode: "richText" } };
}

function cleaned(value: Json, depth: number): Json {
  if (depth > DEEPEST) return null;
  if (Array.isArray(value)) return value.map((item) => cleaned(item, depth + 1));
  if (typeof value === "string") return value.startsWith("image://") ? "circle" : value;
  if (typeof value !== "object" || value === null) return value;
  const rows = Object.entries(value).filter(([name]) => !FORBIDDEN.has(name));
  return Object.fromEntries(rows.map(([name, item]) => [name, cleaned(item, depth + 1)]));
}
