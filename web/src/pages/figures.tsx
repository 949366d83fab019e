import { useEffect, useRef, useState } from "react";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords } from "../words";
import { bytes } from "./fetch";

type Row = { labels: Record<string, string>; value: number; count?: number; p50?: number; p95?: number };
export type Metric = { name: string; kind: string; text: string; rows: Row[] };
export type Figures = { at: number; process: { memory: number; cpu: number }; machine: { memory: number; available: number; cpu: number }; metrics: Metric[] };
type Point = Record<"cpu" | "memory" | "turns" | "tokens" | "waiting" | "first", number>;

const EVERY = 3000;
const POINTS = 60;

const sum = (all: Metric[], name: string): number => all.find((one) => one.name === name)?.rows.reduce((total, row) => total + row.value, 0) ?? 0;

/** What changed from one look to the next, as rates; the first look has no rates yet. */
export function pointOf(before: Figures | null, now: Figures): Point {
  const seconds = before ? Math.max(0.001, now.at - before.at) : 1;
  const rate = (name: string): number => (before ? Math.max(0, sum(now.metrics, name) - sum(before.metrics, name)) / seconds : 0);
  const first = now.metrics.find((one) => one.name === "gen_ai_server_time_to_first_token_seconds")?.rows ?? [];
  return {
    cpu: before ? (100 * Math.max(0, now.process.cpu - before.process.cpu)) / seconds : 0,
    memory: now.process.memory,
    turns: rate("kith_turns_total") * 60,
    tokens: rate("gen_ai_client_token_usage_total"),
    waiting: sum(now.metrics, "kith_model_num_requests_waiting"),
    first: Math.max(0, ...first.map((row) => row.p95 ?? 0)),
  };
}

/** Live figures: numbers with the last minutes behind them. */
export function Live() {
  const t = useWords();
  const { data } = useLoad<Figures>("/api/metrics", EVERY);
  const [points, setPoints] = useState<Point[]>([]);
  const before = useRef<Figures | null>(null);
  useEffect(() => {
    if (!data || data.at === before.current?.at) return;
    const next = pointOf(before.current, data);
    before.current = data;
    setPoints((old) => [...old, next].slice(-POINTS));
  }, [data]);
  const last = points.at(-1);
  if (!data || !last) return null;
  const shown: [Key, keyof Point, string][] = [
    ["figures.cpu", "cpu", `${last.cpu.toFixed(0)} %`],
    ["figures.memory", "memory", bytes(last.memory)],
    ["figures.turns", "turns", last.turns.toFixed(0)],
    ["figures.tokens", "tokens", last.tokens.toFixed(1)],
    ["figures.waiting", "waiting", String(last.waiting)],
    ["figures.first", "first", last.first > 0 ? `${last.first.toFixed(2)} s` : "–"],
  ];
  return (
    <section className="group">
      <h2>{t("figures.title")}</h2>
      <div className="figures">
        {shown.map(([key, name, text]) => (
          <div key={name} className="card figure">
            <span className="hint">{t(key)}</span>
            <strong>{text}</strong>
            <Line values={points.map((one) => one[name])} />
          </div>
        ))}
      </div>
      <details className="intent">
        <summary>{t("figures.all", { n: data.metrics.length })}</summary>
        <div className="table" tabIndex={0}>
          <table className="numbers">
            <thead><tr><th>{t("figures.metric")}</th><th>{t("figures.value")}</th></tr></thead>
            <tbody>
              {data.metrics.flatMap((one) => one.rows.map((row, place) => (
                <tr key={`${one.name} ${place}`}>
                  <td title={one.text}><code>{one.name}</code> <span className="hint">{Object.entries(row.labels).map(([key, value]) => `${key}=${value || "–"}`).join(" ")}</span></td>
                  <td>{row.count === undefined ? number(row.value) : `${row.count} × · p50 ${number(row.p50 ?? 0)} · p95 ${number(row.p95 ?? 0)}`}</td>
                </tr>
              )))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

const number = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

/** A small line without axes; the number beside it says how high it ends. */
function Line({ values }: { values: number[] }) {
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, place) => `${(100 * place) / Math.max(1, values.length - 1)},${30 - (28 * value) / top}`);
  return <svg className="spark" viewBox="0 0 100 32" preserveAspectRatio="none" aria-hidden><polyline points={points.join(" ")} fill="none" stroke="currentColor" strokeWidth="1.5" vectorEffect="non-scaling-stroke" /></svg>;
}
