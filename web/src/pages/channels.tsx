import type { FormEvent } from "react";
import { useEffect, useMemo, useRef, useState } from "react";
import { call, Failure, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Command, Empty, Page, Sure, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import type { Kind, Schema } from "../ui/schema";
import { kindOf, MASK, resolved, SchemaField, textOf, valueOf } from "../ui/schema";
import type { Key } from "../words/en";
import { useWords, when } from "../words";
import { Condition } from "./state";

type Channel = {
  name: string; title: Record<string, string>; quality: string; delivery: string; state: string; note: string; configured: boolean;
  last_in: number; last_out: number; lag: number; errors: number; builtin?: boolean; capabilities: string[]; schema: Schema; scan?: boolean;
};
type Told = { scan: string; state: "waiting" | "scanned" | "code" | "done"; picture: string; svg: string };
type Asking = { id: string; channel: string; sender: string; name: string; at: number; until: number };
type Face = { id: string; channel: string; sender: string; name: string; role: string; at: number };

type Shown = { one: Channel; shared: Set<string>; again: () => void };

const EVERY = 5000;

/** The settings that every channel has: they come after those that only this one needs. */
function common(channels: Channel[]): Set<string> {
  const [first, ...others] = channels.map((one) => Object.keys(one.schema.properties ?? {}));
  return new Set(others.length > 0 ? first?.filter((name) => others.every((names) => names.includes(name))) : []);
}

/** The chat platforms: how each is, set up by a form, tried, and who may come in through them. */
export default function Channels() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again } = useLoad<{ channels: Channel[] }>(`/api/channels?locale=${chosen}`, EVERY);
  const [query, setQuery] = useState("");
  const wanted = query.trim().toLowerCase();
  const fits = (one: Channel): boolean => !wanted || `${one.name} ${Object.values(one.title).join(" ")}`.toLowerCase().includes(wanted);
  const shared = useMemo(() => common(data?.channels ?? []), [data]);
  const own = data?.channels.filter((one) => one.configured) ?? [];
  const others = data?.channels.filter((one) => !one.configured && fits(one)) ?? [];
  return (
    <Page title={t("channels.title")} text={t("channels.text")}>
      {Boolean(error) && <Absent error={error} again={again} />}
      {!data && !error && <Waiting />}
      {own.map((one) => <Card key={one.name} one={one} shared={shared} again={again} />)}
      {data && <Pairing />}
      {data && (
        <section className="group">
          <h2>{t("channels.others")}</h2>
          <p className="hint">{t("channels.quality")}</p>
          <input className="find" type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("channels.find")} aria-label={t("channels.find")} />
          {data && others.length === 0 && <Empty><p>{t("talks.nothing")}</p></Empty>}
          {others.map((one) => <More key={one.name} one={one} shared={shared} again={again} />)}
        </section>
      )}
    </Page>
  );
}

const QUALITIES: Record<string, Key> = { gold: "channels.gold", silver: "channels.silver", bronze: "channels.bronze" };

function Quality({ one }: { one: Channel }) {
  const t = useWords();
  const key = QUALITIES[one.quality];
  return <Badge tone="plain">{key ? t(key) : one.quality}</Badge>;
}

const titleOf = (one: Channel, chosen: string): string => one.title[chosen] ?? one.title.en ?? one.name;

function Card({ one, shared, again }: Shown) {
  const t = useWords();
  const chosen = useStore(language);
  const [told, setTold] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const [open, setOpen] = useState(false);
  const command = (action: string): void => {
    setTold("");
    setRefused(null);
    void call<{ proof?: unknown; note?: string }>(`/api/channels/${path(one.name)}/${action}`, "POST").then(
      (found) => (setTold(action === "test" ? `${t("channels.tested")} ${proof(found.proof)}` : ""), again()), setRefused,
    );
  };
  const fixed = Object.keys(one.schema.properties ?? {}).length <= 1;
  return (
    <section className="card">
      <h2 className="row">{titleOf(one, chosen)} <Condition name={one.state} /> <Quality one={one} /></h2>
      {one.note && <p className="hint">{one.note}</p>}
      <p className="hint">
        {t("channels.in")} {one.last_in ? when(one.last_in, chosen) : "–"} · {t("channels.out")} {one.last_out ? when(one.last_out, chosen) : "–"}
        {one.errors > 0 && ` · ${t("channels.errors", { n: one.errors })}`}{one.lag > 1 && ` · ${t("channels.lag", { n: Math.round(one.lag) })}`}
      </p>
      {one.scan && one.state === "failed" && <Scan one={one} done={again} />}
      {!fixed && !one.builtin && one.state === "ready" && !(one.last_in && one.last_out) && <p className="hint">{t(one.last_in ? "channels.unsaid" : "channels.unheard")}</p>}
      {told && <p className="good-note" role="status">{told}</p>}
      {Boolean(refused) && <Wrong error={refused} />}
      <div className="row">
        <Button onClick={() => command("test")}>{t("channels.test")}</Button>
        <Button onClick={() => command("restart")}>{t("channels.restart")}</Button>
        {one.state === "stopped" ? <Button onClick={() => command("start")}>{t("channels.start")}</Button> : <Button onClick={() => command("stop")}>{t("channels.stop")}</Button>}
        {!fixed && <Button aria-expanded={open} onClick={() => setOpen(!open)}>{t("channels.settings")}</Button>}
        {!fixed && !one.builtin && (
          <Sure label={t("channels.remove")} text={t("channels.remove.sure", { name: titleOf(one, chosen) })} onSure={() => void call(`/api/channels/${path(one.name)}`, "DELETE").then(again, setRefused)}>
            <Button kind="danger">{t("channels.remove")}</Button>
          </Sure>
        )}
      </div>
      {open && <Changing one={one} shared={shared} done={() => (setOpen(false), again())} />}
    </section>
  );
}

const proof = (found: unknown): string => (typeof found === "string" ? found : found ? JSON.stringify(found) : "");

function More({ one, shared, again }: Shown) {
  const t = useWords();
  const chosen = useStore(language);
  return (
    <details className="intent">
      <summary><strong>{titleOf(one, chosen)}</strong> <Quality one={one} /></summary>
      <p className="hint">{t("channels.delivery")}: {one.delivery || "–"} · {one.capabilities.join(", ")}</p>
      {one.scan && <Scan one={one} done={again} />}
      <Form one={one} shared={shared} done={again} />
    </details>
  );
}

/** Set-up by a QR code: shown until somebody has scanned it, and asked about while this is on the page. */
function Scan({ one, done }: { one: Channel; done: () => void }) {
  const t = useWords();
  const [told, setTold] = useState<Told | null>(null);
  const [code, setCode] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const here = useRef(true);
  useEffect(() => (here.current = true, () => void (here.current = false)), []);
  const failed = (error: unknown): void => (setTold(null), setRefused(error));
  const place = `/api/channels/${path(one.name)}/scan`;
  const follow = (found: Told): void => {
    if (!here.current) return;
    setTold(found);
    if (found.state === "done") done();
    else if (found.state !== "code") window.setTimeout(() => here.current && ask(found.scan), 1000);
  };
  const ask = (scan: string, digits = ""): void => void call<Told>(`${place}/${path(scan)}`, "POST", { code: digits }).then(follow, failed);
  const begin = (): void => (setRefused(null), void call<Told>(place, "POST", {}).then(follow, failed));
  const digits = (event: FormEvent): void => {
    event.preventDefault();
    if (told) ask(told.scan, code);
    setCode("");
  };
  return (
    <div className="stack">
      {Boolean(refused) && <Wrong error={refused} />}
      {!told && <div className="row"><Button kind="main" onClick={begin}>{t("channels.scan")}</Button></div>}
      {told && told.state !== "done" && <img className="qr" src={`data:image/svg+xml,${encodeURIComponent(told.svg)}`} alt={t("channels.qr")} width="200" height="200" />}
      {told && <p className="hint" role="status">{t(`channels.scan.${told.state}`)}</p>}
      {told?.state === "code" && (
        <form className="row" onSubmit={digits}>
          <input value={code} onChange={(e) => setCode(e.target.value)} inputMode="numeric" aria-label={t("channels.scan.code")} />
          <Button type="submit">{t("channels.scan.go")}</Button>
        </form>
      )}
    </div>
  );
}

/** The form of a channel that is set up: its settings as they are, of which only what is changed changes. */
function Changing({ one, shared, done }: { one: Channel; shared: Set<string>; done: () => void }) {
  const { data, error, again } = useLoad<{ settings: Given }>(`/api/channels/${path(one.name)}/settings`);
  if (error) return <Absent error={error} again={again} />;
  return data ? <Form one={one} shared={shared} given={data.settings} done={done} /> : <Waiting />;
}

type Given = Record<string, unknown>;

/** What was typed as it goes to the server: a number where one is wanted; what is none is left for it to refuse. */
function typed(text: string, kind: Kind): unknown {
  try {
    const found = valueOf(text, kind);
    return Array.isArray(found) && found.length === 0 ? null : found;
  } catch {
    return text;
  }
}

/** A channel's settings, as its own schema describes them; `given` are those of one that is set up already. */
function Form({ one, shared, given, done }: { one: Channel; shared: Set<string>; given?: Given; done: () => void }) {
  const t = useWords();
  const [values, setValues] = useState<Record<string, string>>({});
  const [failure, setFailure] = useState<unknown>(null);
  const [missing, setMissing] = useState<string[]>([]);
  const [busy, setBusy] = useState(false);
  const place = useRef<HTMLFormElement>(null);
  const fields = Object.entries(one.schema.properties ?? {}).map(([name, schema]) => [name, resolved(schema, one.schema)] as const);
  const required = new Set(one.schema.required ?? []);
  const faults = failure instanceof Failure ? new Map(failure.faults.map((fault) => [fault.path.split(".").at(-1) ?? "", fault.reason])) : new Map<string, string>();
  for (const name of missing) faults.set(name, t("channels.needed"));
  const kept = (name: string): boolean => given?.[name] === MASK;
  const before = (name: string): string => (kept(name) ? "" : textOf(given?.[name]));
  const text = (name: string): string => values[name] ?? before(name);
  useEffect(() => {
    if (failure || missing.length > 0) place.current?.querySelector<HTMLElement>("[aria-invalid]")?.focus();
  }, [failure, missing]);
  const save = (event: FormEvent): void => {
    event.preventDefault();
    setFailure(null);
    const lacking = text("enabled") === "false" ? [] : [...required].filter((name) => !kept(name) && !text(name).trim());
    setMissing(lacking);
    if (lacking.length > 0) return;
    setBusy(true);
    const changes = fields.filter(([name]) => text(name) !== before(name)).map(([name, schema]) => [name, typed(text(name), kindOf(schema, name))] as const);
    const about = `/api/channels/${path(one.name)}`;
    const sent = given
      ? call(`${about}/settings`, "PUT", { changes: Object.fromEntries(changes) })
      : call(about, "PUT", Object.fromEntries(changes.filter(([, value]) => value !== null)));
    void sent.then(done, setFailure).finally(() => setBusy(false));
  };
  const plain = fields.filter(([name, schema]) => kindOf(schema, name) !== "group");
  const early = (name: string): boolean => (required.size > 0 ? required.has(name) : !shared.has(name));
  const first = plain.filter(([name]) => early(name));
  const rest = plain.filter(([name]) => !early(name));
  const field = ([name, schema]: (typeof plain)[number]) => (
    <SchemaField key={name} name={name} schema={schema} value={text(name)} kept={kept(name)} set={(typed) => setValues({ ...values, [name]: typed })} fault={faults.get(name)} required={required.has(name)} />
  );
  return (
    <form className="stack" onSubmit={save} ref={place}>
      {first.map(field)}
      {rest.length > 0 && (first.length > 0 ? <details open={rest.some(([name]) => faults.has(name)) || undefined}><summary>{t("channels.more", { n: rest.length })}</summary><div className="stack">{rest.map(field)}</div></details> : rest.map(field))}
      {Boolean(failure) && <Wrong error={failure} />}
      <p className="hint">{t("channels.written")}</p>
      <div className="row"><Button kind="main" type="submit" disabled={busy}>{t("channels.save")}</Button></div>
    </form>
  );
}

function Pairing() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<{ waiting: Asking[]; faces: Face[] }>("/api/pairing", EVERY);
  const [code, setCode] = useState<{ code: string; expires: number } | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const act = (work: Promise<unknown>): void => void work.then(() => (setRefused(null), again()), setRefused);
  if (!data) return null;
  return (
    <section className="group">
      <h2>{t("pairing.title")}</h2>
      <p className="hint">{t("pairing.text")}</p>
      {Boolean(refused) && <Wrong error={refused} />}
      <div className="row"><Button onClick={() => act(call<{ code: string; expires: number }>("/api/pairing", "POST", { role: "member" }).then(setCode))}>{t("pairing.code")}</Button></div>
      {code && <div className="card good" role="status"><p>{t("pairing.made", { at: when(code.expires, chosen) })}</p><Command text={code.code} /></div>}
      <ul className="rows">
        {data.waiting.map((one) => (
          <li key={one.id}>
            <span className="grow"><strong>{one.name || one.sender}</strong><span className="hint">{one.channel} · {one.sender} · {when(one.at, chosen)}</span></span>
            <Badge tone="fair">{t("pairing.waiting")}</Badge>
            <Button kind="main" onClick={() => act(call(`/api/pairing/${path(one.id)}/approve`, "POST", { role: "member" }))}>{t("pairing.approve")}</Button>
            <Button kind="danger" onClick={() => act(call(`/api/pairing/${path(one.id)}/refuse`, "POST"))}>{t("pairing.refuse")}</Button>
          </li>
        ))}
        {(data.faces ?? []).map((one) => (
          <li key={one.id}>
            <span className="grow"><strong>{one.name || one.sender}</strong><span className="hint">{one.channel} · {one.sender}</span></span>
            <Badge tone="good">{one.role}</Badge>
            <Sure label={t("pairing.shut")} text={t("pairing.shut.sure", { name: one.name || one.sender })} onSure={() => act(call(`/api/pairing/${path(one.id)}`, "DELETE"))}>
              <Button kind="danger">{t("pairing.shut")}</Button>
            </Sure>
          </li>
        ))}
      </ul>
    </section>
  );
}
