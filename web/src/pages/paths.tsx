import { lazy, Suspense, useMemo } from "react";
import { Badge, Empty, Page, Waiting } from "../ui";
import { Absent, useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords } from "../words";

const Chart = lazy(() => import("../markdown/chart"));

type Counted = { path: string[]; count: number };
type Paths = { conversations?: number; nodes: { id: string; name: string }[]; links: { source: string; target: string; value: number }[]; top: Counted[]; drops: { node: string; count: number; share: number }[]; loops: Counted[] };
type Outcomes = { conversations: number; done: number; abandoned: number; handed_over: number; open: number; automation: number | null; ratings: { up: number; down: number }; whole?: boolean };
type Use = { rows: { key: string; turns: number; prompt: number; completion: number; fallbacks: number }[] };

/** How conversations go: how they end, which ways they take, what they cost. */
export default function Paths() {
  const t = useWords();
  return (
    <Page title={t("paths.title")} text={t("paths.text")}>
      <Ends />
      <Ways />
      <Spent />
    </Page>
  );
}

function Ends() {
  const t = useWords();
  const { data, error, again } = useLoad<Outcomes>("/api/outcomes");
  if (error) return <Absent error={error} again={again} />;
  if (!data) return <Waiting />;
  const shown: [Key, string][] = [
    ["paths.conversations", String(data.conversations)],
    ["paths.done", String(data.done)],
    ["paths.abandoned", String(data.abandoned)],
    ["paths.handed", String(data.handed_over)],
    ["paths.automation", data.automation === null ? "–" : `${Math.round(100 * data.automation)} %`],
    ["paths.ratings", `+${data.ratings.up} / −${data.ratings.down}`],
  ];
  return (
    <>
      <div className="figures">{shown.map(([key, value]) => <div key={key} className="card figure"><span className="hint">{t(key)}</span><strong>{value}</strong></div>)}</div>
      {data.whole === false && <p className="hint">{t("paths.partly")}</p>}
    </>
  );
}

/** What is no intent of a flow: a sentence that nothing understood, and how a conversation ended. */
const NAMES: Record<string, Key> = { "?": "paths.unknown", open: "paths.open", done: "paths.done", abandoned: "paths.abandoned", handed_over: "paths.handed" };

function Ways() {
  const t = useWords();
  const { data, error, again } = useLoad<Paths>("/api/paths");
  const told = useMemo(() => data && { ...data, nodes: data.nodes.map(({ id, name }) => ({ id, name: NAMES[name] ? t(NAMES[name]) : name })) }, [data, t]);
  const source = useMemo(() => (told && told.links.length > 0 ? sankey(told) : ""), [told]);
  if (error) return <Absent error={error} again={again} />;
  if (!data) return null;
  if (!source) return <Empty><p>{t("paths.none")}</p></Empty>;
  const name = (id: string): string => told?.nodes.find((one) => one.id === id)?.name ?? id;
  return (
    <>
      <section className="card"><Suspense fallback={<Waiting />}><Chart source={source} /></Suspense></section>
      <Counts title={t("paths.top")} rows={data.top.map((one) => [one.path.map(name).join(" → "), String(one.count)])} />
      <Counts title={t("paths.drops")} rows={data.drops.map((one) => [name(one.node), `${one.count} (${Math.round(100 * one.share)} %)`])} />
      <Counts title={t("paths.loops")} rows={data.loops.map((one) => [one.path.map(name).join(" → "), String(one.count)])} />
    </>
  );
}

function Counts({ title, rows }: { title: string; rows: [string, string][] }) {
  if (rows.length === 0) return null;
  return (
    <section className="group">
      <h2>{title}</h2>
      <ul className="rows">{rows.map(([text, count]) => <li key={text}><span className="grow">{text}</span><Badge tone="plain">{count}</Badge></li>)}</ul>
    </section>
  );
}

function Spent() {
  const t = useWords();
  const { data } = useLoad<Use>("/api/use?by=model");
  if (!data || data.rows.length === 0) return null;
  return (
    <section className="group">
      <h2>{t("use.title")}</h2>
      <div className="table" tabIndex={0}>
        <table className="numbers">
          <thead><tr>{(["use.model", "use.turns", "use.prompt", "use.completion", "use.fallbacks"] as const).map((key) => <th key={key}>{t(key)}</th>)}</tr></thead>
          <tbody>{data.rows.map((one) => <tr key={one.key}><td>{one.key || "–"}</td><td>{one.turns}</td><td>{one.prompt}</td><td>{one.completion}</td><td>{one.fallbacks}</td></tr>)}</tbody>
        </table>
      </div>
    </section>
  );
}

/** The graph as an ECharts Sankey: backward links are left out, for a river does not flow uphill. */
export function sankey(found: Pick<Paths, "nodes" | "links">): string {
  const place = new Map<string, Set<string>>();
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean => {
    if (from === to) return true;
    if (seen.has(from)) return false;
    seen.add(from);
    return [...(place.get(from) ?? [])].some((next) => reaches(next, to, seen));
  };
  const links = found.links.filter(({ source, target }) => {
    if (reaches(target, source)) return false;
    place.set(source, (place.get(source) ?? new Set()).add(target));
    return true;
  });
  const used = new Set(links.flatMap((one) => [one.source, one.target]));
  const nodes = found.nodes.filter((one) => used.has(one.id));
  const names = Object.fromEntries(nodes.map((one) => [one.id, one.name]));
  return JSON.stringify({
    animation: false,
    tooltip: { trigger: "item" },
    series: [{ type: "sankey", left: 8, right: 120, nodeGap: 14, emphasis: { focus: "adjacency" }, lineStyle: { color: "gradient", opacity: 0.35 }, data: nodes.map((one) => ({ name: unique(names, one.id) })), links: links.map((one) => ({ source: unique(names, one.source), target: unique(names, one.target), value: one.value })) }],
  });
}

/** A node is known by its name, so two of one name are told apart by invisible signs. */
function unique(names: Record<string, string>, id: string): string {
  const name = names[id] ?? id;
  const same = Object.keys(names).filter((other) => names[other] === name);
  return name + "\u200b".repeat(Math.max(0, same.indexOf(id)));
}
