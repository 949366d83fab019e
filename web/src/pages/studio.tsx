import type { FormEvent } from "react";
import { useEffect, useState } from "react";
import { call, Failure, me } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import { useWords } from "../words";

type Source = { file: string; text: string; builtin: boolean };
type Entity = { name: string; value: string; text: string };
type Reading = { understanding: { intent: string; confidence: number; by: string; entities: Entity[] }; answer: string | null; action: { kind: string; argument: string } | null; state: Record<string, unknown>; language: string };
type Trial = { phrases: number; accuracy: number; accepted: number; wrong: number; scores: { intent: string; phrases: number; f1: number; recall: number; precision: number }[]; confusions: { intent: string; guess: string; count: number; example: string }[]; tests: number; failures: { say: string; wanted: string; got: string }[] };
type Tried = { said: string; reading: Reading };

const PAUSE = 700;

/** The flow's file, checked while it is written. */
export function Text({ changed }: { changed: () => void }) {
  const t = useWords();
  const who = useStore(me);
  const { data, error, again } = useLoad<Source>("/api/flow/source");
  const [text, setText] = useState<string | null>(null);
  const [wrong, setWrong] = useState<unknown>(null);
  const [told, setTold] = useState("");
  const now = text ?? data?.text ?? "";
  const edited = text !== null && text !== data?.text;
  useEffect(() => {
    if (!edited) return;
    let wanted = true;
    const check = (): void =>
      void call("/api/flow/check", "POST", { text: now }).then(
        () => wanted && (setWrong(null), setTold(t("flow.good"))),
        (reason: unknown) => wanted && (setWrong(reason), setTold("")),
      );
    const timer = setTimeout(check, PAUSE);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [now, edited, t]);
  const save = (): void => {
    const done = (): void => {
      setTold(t("flow.saved"));
      setText((old) => (old === now ? null : old));
      again();
      changed();
    };
    void call("/api/flow/source", "PUT", { text: now }).then(done, setWrong);
  };
  if (error) return <Absent error={error} again={again} />;
  if (!data) return <Waiting />;
  const lines = wrong instanceof Failure ? wrong.faults.flatMap((one) => ("line" in one && one.line ? [Number(one.line)] : [])) : [];
  return (
    <section className="group">
      <p className="hint">{t("flow.file")}: <code>{data.file}</code> {data.builtin && t("flow.builtin")}</p>
      <textarea className="source" value={now} onChange={(e) => (setText(e.target.value), setTold(""))} spellCheck={false} aria-label={t("flow.view.text")} rows={24} readOnly={who?.role !== "owner"} />
      {lines.length > 0 && <p className="hint">{t("flow.lines", { lines: lines.join(", ") })}</p>}
      {Boolean(wrong) && <Wrong error={wrong} />}
      <p role="status" className="good-note">{told}</p>
      {edited && (
        <div className="savebar">
          <Button onClick={() => (setText(null), setWrong(null), setTold(""))}>{t("app.cancel")}</Button>
          <Button kind="main" onClick={save} disabled={Boolean(wrong)}>{t("flow.save")}</Button>
        </div>
      )}
    </section>
  );
}

/** A conversation with the rules alone: what each sentence is taken for. */
export function Try() {
  const t = useWords();
  const chosen = useStore(language);
  const [said, setSaid] = useState("");
  const [all, setAll] = useState<Tried[]>([]);
  const [wrong, setWrong] = useState<unknown>(null);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const text = said.trim();
    setWrong(null);
    void call<Reading>("/api/flow/try", "POST", { text, state: all.at(-1)?.reading.state ?? {}, locale: chosen }).then((reading) => (setAll((old) => [...old, { said: text, reading }]), setSaid((old) => (old.trim() === text ? "" : old))), setWrong);
  };
  return (
    <section className="group">
      <form className="card line-form" onSubmit={submit}>
        <label className="field grow"><span>{t("flow.try")}</span><input value={said} onChange={(e) => setSaid(e.target.value)} maxLength={4000} required autoFocus /></label>
        <Button kind="main" type="submit" disabled={!said.trim()}>{t("flow.try.ask")}</Button>
        {all.length > 0 && <Button onClick={() => setAll([])}>{t("flow.try.anew")}</Button>}
      </form>
      {Boolean(wrong) && <Wrong error={wrong} />}
      {all.toReversed().map(({ said, reading }, place) => (
        <article key={all.length - place} className="card">
          <p><strong>{said}</strong></p>
          <p className="row">
            <Badge tone={reading.understanding.intent ? "good" : "plain"}>{reading.understanding.intent || t("flow.try.none")}</Badge>
            {reading.understanding.intent && <span className="hint">{Math.round(100 * reading.understanding.confidence)} % · {reading.understanding.by}</span>}
            {reading.understanding.entities.map((one) => <Badge key={one.name + one.text} tone="fair">{one.name}: {one.value}</Badge>)}
          </p>
          <p>{reading.answer ?? <span className="hint">{reading.action ? `${reading.action.kind} ${reading.action.argument}` : t("flow.try.model")}</span>}</p>
          <details><summary className="hint">{t("flow.try.state")}</summary><pre className="state">{JSON.stringify(reading.state, null, 2)}</pre></details>
        </article>
      ))}
    </section>
  );
}

/** How well the rules know their own phrases. */
export function Report() {
  const t = useWords();
  const { data, error, again } = useLoad<Trial>("/api/flow/report");
  if (error) return <Absent error={error} again={again} />;
  if (!data) return <Waiting />;
  const share = (value: number): string => `${Math.round(100 * value)} %`;
  return (
    <section className="group">
      <p className="hint">{t("flow.report.text")}</p>
      <div className="figures">
        {([["flow.report.accuracy", share(data.accuracy)], ["flow.report.accepted", share(data.accepted)], ["flow.report.wrong", share(data.wrong)], ["flow.report.tests", `${data.tests - data.failures.length} / ${data.tests}`]] as const).map(([key, value]) => (
          <div key={key} className="card figure"><span className="hint">{t(key)}</span><strong>{value}</strong></div>
        ))}
      </div>
      {data.failures.length > 0 && <ul className="rows">{data.failures.map((one) => <li key={one.say}><span className="grow"><strong>{one.say}</strong><span className="hint bad">{one.wanted} → {one.got || "–"}</span></span></li>)}</ul>}
      {data.confusions.length > 0 && <><h2>{t("flow.report.confused")}</h2><ul className="rows">{data.confusions.map((one) => <li key={one.intent + one.guess}><span className="grow"><strong>{one.intent} → {one.guess}</strong><span className="hint">{one.example}</span></span><Badge tone="fair">{one.count}</Badge></li>)}</ul></>}
      <div className="table" tabIndex={0}>
        <table className="numbers">
          <thead><tr><th>{t("flow.intents")}</th><th>{t("flow.report.phrases")}</th><th>F1</th></tr></thead>
          <tbody>{data.scores.map((one) => <tr key={one.intent}><td>{one.intent}</td><td>{one.phrases}</td><td>{one.f1.toFixed(2)}</td></tr>)}</tbody>
        </table>
      </div>
    </section>
  );
}
