import { RefreshCw } from "lucide-react";
import { lazy, Suspense, useMemo, useState } from "react";
import type { Flow as Described } from "../api";
import { call, me } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Button, Page, Waiting, Wrong } from "../ui";
import { Choose } from "../ui/choose";
import { useLoad } from "../ui/load";
import { useWords } from "../words";
import { Report, Text, Try } from "./studio";

const Diagram = lazy(() => import("../markdown/diagram"));

const VIEWS = ["shown", "text", "try", "report"] as const;

export default function Flow() {
  const t = useWords();
  const who = useStore(me);
  const { data, error, again } = useLoad<Described>("/api/flow");
  const [view, setView] = useState<(typeof VIEWS)[number]>("shown");
  const [told, setTold] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const reload = (): void => {
    setTold("");
    setRefused(null);
    void call("/api/flow/reload", "POST").then(() => setTold(t("flow.reloaded")), setRefused).finally(again);
  };
  const trusted = who?.role === "owner" || who?.role === "admin";
  const action = trusted && <Button onClick={reload}><RefreshCw aria-hidden /> {t("flow.reload")}</Button>;
  return (
    <Page title={t("flow.title")} text={t("flow.text")} action={action}>
      {Boolean(error) && <Wrong error={error} again={again} />}
      {Boolean(refused) && <Wrong error={refused} />}
      <p role="status" className="good-note">{told}</p>
      {!data && !error && <Waiting />}
      {trusted && data && <Choose label={t("flow.view")} value={view} all={VIEWS} name={(one) => t(`flow.view.${one}`)} choose={setView} />}
      {data && view === "shown" && <Shown flow={data} />}
      {view === "text" && <Text changed={again} />}
      {view === "try" && <Try />}
      {view === "report" && <Report />}
    </Page>
  );
}

function Shown({ flow }: { flow: Described }) {
  const t = useWords();
  const graph = useMemo(() => drawn(flow), [flow]);
  return (
    <>
      {flow.error && <Wrong error={new Error(`${t("flow.refused")} ${flow.error}`)} />}
      <section className="card">
        <h2>{flow.name}</h2>
        <dl>
          <div><dt>{t("flow.file")}</dt><dd><code>{flow.file}</code></dd></div>
          <div><dt>{t("flow.version")}</dt><dd><code>{flow.version}</code></dd></div>
        </dl>
      </section>
      {flow.warnings.length > 0 && (
        <section className="group">
          <h2>{t("flow.warnings")}</h2>
          <ul>{flow.warnings.map((one) => <li key={one.path + one.reason}><code>{one.path}</code> {one.reason}</li>)}</ul>
        </section>
      )}
      {graph && (
        <section className="group">
          <h2>{t("flow.states")}</h2>
          <Suspense fallback={<Waiting />}><Diagram source={graph} /></Suspense>
        </section>
      )}
      <Intents flow={flow} />
    </>
  );
}

function Intents({ flow }: { flow: Described }) {
  const t = useWords();
  const chosen = useStore(language);
  const [query, setQuery] = useState("");
  const wanted = query.trim().toLowerCase();
  const found = flow.intents.filter((one) => !wanted || `${one.name} ${one.examples.join(" ")}`.toLowerCase().includes(wanted));
  return (
    <section className="group">
      <h2>{t("flow.intents")} ({flow.intents.length})</h2>
      <input className="find" type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("flow.find")} aria-label={t("flow.find")} />
      {found.map((one) => (
        <details key={one.name} className="intent">
          <summary><strong>{one.name}</strong> <span className="hint">{t("flow.patterns", { n: one.patterns })}</span></summary>
          <p>{t("flow.examples")}: {one.examples.join(" · ")}</p>
          {answers(one, chosen).length > 0 && <><p>{t("flow.answers")}</p><ul>{answers(one, chosen).map((text) => <li key={text}>{text}</li>)}</ul></>}
        </details>
      ))}
    </section>
  );
}

/** The answers in the reader's language, however the flow writes them. */
function answers(intent: Record<string, unknown>, chosen: string): string[] {
  const given = intent.responses ?? intent.response ?? intent.response_template;
  const here = given && typeof given === "object" && !Array.isArray(given) ? ((given as Record<string, unknown>)[chosen] ?? Object.values(given)[0]) : given;
  return (Array.isArray(here) ? here : [here]).filter((one): one is string => typeof one === "string");
}

/** The states and transitions as a Mermaid graph; empty when the flow has none. */
export function drawn(flow: Pick<Described, "initial" | "states" | "transitions">): string {
  const names = new Map<string, string>();
  const node = (name: string): string => {
    const known = names.get(name) ?? `s${names.size}`;
    names.set(name, known);
    return known;
  };
  const list = (value: unknown): string[] => (Array.isArray(value) ? value : [value]).map((one) => String(one ?? "*"));
  const edges = (flow.transitions ?? []).flatMap((one) =>
    list(one.from).map((from) => `  ${node(from)} -->${one.on || one.intent ? `|"${plain(list(one.on ?? one.intent).join(", "))}"|` : ""} ${node(String(one.to ?? ""))}`),
  );
  const states = Array.isArray(flow.states) ? flow.states.map((one) => String(one.name)) : Object.keys(flow.states ?? {});
  states.forEach(node);
  if (edges.length === 0) return "";
  const boxes = [...names].map(([name, id]) => `  ${id}${name === flow.initial ? `(["${plain(name)}"])` : `["${plain(name)}"]`}`);
  return ["flowchart LR", ...boxes, ...edges].join("\n");
}

const plain = (text: string): string => text.replace(/["\\<>`]/g, "'");
