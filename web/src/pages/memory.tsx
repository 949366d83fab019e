import type { FormEvent } from "react";
import { useState } from "react";
import { call, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Empty, Page, Sure, Waiting, Wrong } from "../ui";
import { Absent, save, useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords, when } from "../words";

type Fact = { id: string; text: string; kind: string; confidence: number; at: number; by?: string; told: { conversation: string; turn: string }; replaced: string };
type Reminder = { id: string; text: string; next: number; rule: string; timezone: string };

const KINDS = new Set(["name", "birthday", "age", "home", "origin", "work", "family", "like", "dislike", "allergy", "language", "pet", "note", "goal"]);

/** What Kith knows about whoever looks: seen, mended, forgotten, taken along. */
export default function Memory() {
  const t = useWords();
  const { data, error, again } = useLoad<{ facts: Fact[] }>("/api/me/memory");
  const [refused, setRefused] = useState<unknown>(null);
  const act = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => (setRefused(null), again(), true),
      (reason: unknown) => (setRefused(reason), false),
    );
  return (
    <Page title={t("memory.title")} text={t("memory.text")}>
      {Boolean(error) && <Absent error={error} again={again} />}
      {Boolean(refused) && <Wrong error={refused} />}
      {!data && !error && <Waiting />}
      {data && <Tell tell={(text) => act(call("/api/me/memory", "POST", { text }))} />}
      {data?.facts.length === 0 && <Empty><p>{t("memory.none")}</p></Empty>}
      <ul className="rows">
        {data?.facts.map((one) => (
          <Row key={one.id} one={one} edit={(text) => act(call(`/api/me/memory/${path(one.id)}`, "PUT", { text }))} forget={() => act(call(`/api/me/memory/${path(one.id)}`, "DELETE"))} />
        ))}
      </ul>
      <Reminders />
      <section className="card">
        <h2>{t("memory.yours")}</h2>
        <p>{t("memory.yours.text")}</p>
        <div className="row">
          <Button onClick={() => act(call("/api/me/export").then((told) => save("kith-me.json", told)))}>{t("memory.export")}</Button>
          <Sure label={t("memory.forget.all")} text={t("memory.forget.all.sure")} onSure={() => act(call("/api/me/memory", "DELETE"))}>
            <Button kind="danger">{t("memory.forget.all")}</Button>
          </Sure>
        </div>
      </section>
    </Page>
  );
}

function Tell({ tell }: { tell: (text: string) => Promise<boolean> }) {
  const t = useWords();
  const [text, setText] = useState("");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void tell(text.trim()).then((done) => done && setText((old) => (old === text ? "" : old)));
  };
  return (
    <form className="card line-form" onSubmit={submit}>
      <label className="field grow"><span>{t("memory.tell")}</span>
        <input value={text} onChange={(e) => setText(e.target.value)} placeholder={t("memory.tell.hint")} maxLength={500} required />
      </label>
      <Button kind="main" type="submit" disabled={!text.trim()}>{t("memory.keep")}</Button>
    </form>
  );
}

function Row({ one, edit, forget }: { one: Fact; edit: (text: string) => Promise<boolean>; forget: () => void }) {
  const t = useWords();
  const chosen = useStore(language);
  const [text, setText] = useState<string | null>(null);
  const done = (event: FormEvent): void => {
    event.preventDefault();
    if (!text?.trim() || text.trim() === one.text) return setText(null);
    void edit(text.trim()).then((done) => done && setText(null));
  };
  if (text !== null) {
    return (
      <li>
        <form className="line-form grow-form" onSubmit={done}>
          <input className="grow" value={text} onChange={(e) => setText(e.target.value)} onKeyDown={(e) => e.key === "Escape" && setText(null)} aria-label={t("memory.edit")} maxLength={500} autoFocus />
          <Button kind="main" type="submit">{t("memory.keep")}</Button>
          <Button onClick={() => setText(null)}>{t("app.cancel")}</Button>
        </form>
      </li>
    );
  }
  return (
    <li>
      <span className="grow">
        <strong>{one.text}</strong>
        <span className="hint">{when(one.at, chosen)}{one.confidence < 0.8 && ` · ${t("memory.unsure")}`}{one.replaced && ` · ${t("memory.replaced")}`}</span>
      </span>
      {one.kind && <Badge tone="plain">{KINDS.has(one.kind) ? t(`memory.kind.${one.kind}` as Key) : one.kind}</Badge>}
      <span className="row">
        <Button onClick={() => setText(one.text)}>{t("memory.edit")}</Button>
        <Sure label={t("memory.forget")} text={t("memory.forget.sure", { text: one.text })} onSure={forget}><Button kind="danger">{t("memory.forget")}</Button></Sure>
      </span>
    </li>
  );
}

function Reminders() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<{ reminders: Reminder[] }>("/api/me/reminders");
  if (!data || data.reminders.length === 0) return null;
  return (
    <section className="group">
      <h2>{t("memory.reminders")}</h2>
      <ul className="rows">
        {data.reminders.map((one) => (
          <li key={one.id}>
            <span className="grow"><strong>{one.text}</strong><span className="hint">{new Date(one.next * 1000).toLocaleString(chosen === "zh" ? "zh-CN" : "en-GB")} {one.rule}</span></span>
            <Button kind="danger" onClick={() => void call(`/api/me/reminders/${path(one.id)}`, "DELETE").then(again, again)}>{t("memory.cancel")}</Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

