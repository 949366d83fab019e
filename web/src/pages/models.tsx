import type { FormEvent } from "react";
import { useState } from "react";
import { useLocation } from "wouter";
import type { Model } from "../api";
import { call, me, path } from "../api";
import { language } from "../prefs";
import { keep, useStore } from "../store";
import { Badge, Button, Empty, Page, Sure, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords, when } from "../words";
import { bytes, Fetch, Suggestion } from "./fetch";
import { Condition } from "./state";

type Version = { version: string; added: number; pinned: boolean; used: boolean; sha256: string; source: string };
type Step = { model: string; reason: string; fallback: boolean };
type Route = { steps: Step[]; skipped: Step[]; rule: string; facts: { language: string; tokens: number; private: boolean } };

const EVERY = 5000;

export default function Models() {
  const t = useWords();
  const who = useStore(me);
  const trusted = who?.role === "owner" || who?.role === "admin";
  const { data, error, again } = useLoad<{ models: Model[] }>("/api/models", EVERY);
  return (
    <Page title={t("models.title")} text={t("models.text")}>
      {Boolean(error) && <Wrong error={error} again={again} />}
      {!data && !error && <Waiting />}
      {data?.models.length === 0 && <Empty><p>{t("models.none")}</p></Empty>}
      <div className="cards">{data?.models.map((model) => <Card key={model.name} model={model} trusted={trusted} again={again} />)}</div>
      {trusted && data && (
        <section className="group">
          <h2>{t("models.fetch")}</h2>
          <Suggestion />
          <Fetch arrived={again} />
        </section>
      )}
      {who?.role !== "guest" && data && data.models.length > 0 && <Explain />}
    </Page>
  );
}

function Card({ model, trusted, again }: { model: Model; trusted: boolean; again: () => void }) {
  const t = useWords();
  const [, go] = useLocation();
  const [refused, setRefused] = useState<unknown>(null);
  const facts: [Key, string][] = [
    ["models.kind", `${model.kind} · ${model.backend}`],
    ["models.context", model.context ? t("models.tokens", { n: model.context.toLocaleString() }) : ""],
    ["models.parameters", model.parameters ? short(model.parameters) : ""],
    ["models.quantisation", model.quantisation],
    ["models.memory", model.memory ? bytes(model.memory) : ""],
    ["models.licence", model.licence],
  ];
  const talk = (): void => {
    keep("session", "model", model.name);
    go("/c/main");
  };
  return (
    <section className="card">
      <h2 className="row">{model.name} <Condition name={model.condition} /></h2>
      <dl>
        {facts.filter(([, value]) => value).map(([key, value]) => (
          <div key={key}><dt>{t(key)}</dt><dd>{value}</dd></div>
        ))}
      </dl>
      {model.detail && <p className="hint">{model.detail}</p>}
      {Boolean(refused) && <Wrong error={refused} />}
      <div className="row">
        {model.kind === "chat" && <Button onClick={talk}>{t("models.use")}</Button>}
        {trusted && model.version && (
          <Sure label={t("models.remove")} text={t("models.remove.sure", { name: model.name })} onSure={() => void call("/api/models/remove", "POST", { model: model.name }).then(again, setRefused)}>
            <Button kind="danger">{t("models.remove")}</Button>
          </Sure>
        )}
      </div>
      {trusted && model.version && <Versions model={model} again={again} />}
    </section>
  );
}

/** The kept versions of a model, and the change to another one while it serves. */
function Versions({ model, again }: { model: Model; again: () => void }) {
  const t = useWords();
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t("models.versions")}</summary>
      {open && <Swap model={model} again={again} />}
    </details>
  );
}

function Swap({ model, again }: { model: Model; again: () => void }) {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again: reread } = useLoad<{ versions: Version[] }>(`/api/models/versions?model=${path(model.name)}`);
  const [busy, setBusy] = useState("");
  const [told, setTold] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const swap = (version: string): void => {
    setBusy(version);
    setRefused(null);
    setTold("");
    const done = (found: { seconds?: number }): void => setTold(t("models.swapped", { version, n: (found.seconds ?? 0).toFixed(1) }));
    void call<{ seconds?: number }>("/api/models/swap", "POST", { model: model.name, version }).then(done, setRefused).finally(() => (setBusy(""), reread(), again()));
  };
  if (error) return <Wrong error={error} />;
  return (
    <>
      <ul className="bare">
        {data?.versions.map((one) => (
          <li key={one.version} className="row">
            <span className="grow"><code>{one.version}</code> <span className="hint">{when(one.added, chosen)}</span></span>
            {one.used ? <Badge tone="good">{t("models.used")}</Badge> : <Button disabled={busy !== ""} onClick={() => swap(one.version)}>{t("models.swap")}</Button>}
          </li>
        ))}
      </ul>
      {busy && <><progress aria-label={t("models.swapping")} /><p className="hint" role="status">{t("models.swapping")}</p></>}
      {told && <p className="good-note" role="status">{told}</p>}
      {Boolean(refused) && <Wrong error={refused} />}
    </>
  );
}

/** Which model would answer these words, and why; nothing is asked. */
function Explain() {
  const t = useWords();
  const [text, setText] = useState("");
  const [route, setRoute] = useState<Route | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setRefused(null);
    void call<Route>("/api/models/route", "POST", { text }).then(setRoute, setRefused);
  };
  return (
    <section className="group">
      <h2>{t("models.route")}</h2>
      <form className="card line-form" onSubmit={submit}>
        <label className="field grow"><span>{t("models.route.text")}</span><input value={text} onChange={(e) => setText(e.target.value)} maxLength={20_000} required /></label>
        <Button type="submit">{t("models.route.ask")}</Button>
      </form>
      {Boolean(refused) && <Wrong error={refused} />}
      {route && (
        <ol className="rows" role="status">
          {route.steps.map((one, place) => <li key={one.model}><strong>{place + 1}. {one.model}</strong><span className="grow hint">{one.reason}</span></li>)}
          {route.skipped.map((one) => <li key={one.model}><span className="hint">{one.model}</span><span className="grow hint">{one.reason}</span><Badge tone="plain">{t("models.skipped")}</Badge></li>)}
        </ol>
      )}
    </section>
  );
}

function short(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} B` : `${Math.round(count / 1e6)} M`;
}
