import type { FormEvent } from "react";
import { useState } from "react";
import { call, Failure } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Button, Command, Page, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import type { Schema } from "../ui/schema";
import { kindOf, resolved, SchemaField, textOf, valueOf } from "../ui/schema";
import { useWords } from "../words";

type Told = { file: string; schema: Schema; values: Record<string, unknown>; given: string[]; waiting: string[] };
type Leaf = { name: string; schema: Schema };

/** The settings of the house: every key of kith.yaml with its meaning, checked before it is written. */
export default function Config() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again } = useLoad<Told>(`/api/settings?locale=${chosen}`);
  return (
    <Page title={t("config.title")} text={t("config.text")}>
      {Boolean(error) && <Absent error={error} again={again} />}
      {!data && !error && <Waiting />}
      {data && <Editor told={data} again={again} />}
    </Page>
  );
}

function Editor({ told, again }: { told: Told; again: () => void }) {
  const t = useWords();
  const [changed, setChanged] = useState<Record<string, string>>({});
  const [failure, setFailure] = useState<unknown>(null);
  const [saved, setSaved] = useState(false);
  const [query, setQuery] = useState("");
  const faults = failure instanceof Failure ? new Map(failure.faults.map((one) => [one.path, one.reason])) : new Map<string, string>();
  const sections = Object.entries(told.schema.properties ?? {}).map(([name, schema]) => ({ name, leaves: leaves(resolved(schema, told.schema), name, told.schema) }));
  const kinds = new Map(sections.flatMap(({ leaves }) => leaves.map((one) => [one.name, kindOf(one.schema, one.name)] as const)));
  const save = (event: FormEvent): void => {
    event.preventDefault();
    setFailure(null);
    const changes = Object.fromEntries(Object.entries(changed).map(([name, text]) => [name, value(text, kinds.get(name) ?? "text")]));
    void call("/api/settings", "PUT", { changes }).then(() => (setChanged((now) => rest(now, changed)), setSaved(true), again()), setFailure);
  };
  const wanted = query.trim().toLowerCase();
  const shown = (one: Leaf): boolean => !wanted || `${one.name} ${one.schema.description ?? ""}`.toLowerCase().includes(wanted);
  const count = Object.keys(changed).length;
  return (
    <form className="group" onSubmit={save}>
      <p className="hint">{t("config.where")} <code>{told.file}</code></p>
      {told.waiting.length > 0 && <p className="card notice" role="status">{t("config.waiting", { keys: told.waiting.join(", ") })}</p>}
      <input className="find" type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("config.find")} aria-label={t("config.find")} />
      {sections.map(({ name, leaves }) => {
        const found = leaves.filter(shown);
        if (found.length === 0) return null;
        return (
          <details key={name} className="intent" open={wanted !== "" || undefined}>
            <summary><strong>{name}</strong> <span className="hint">{t("config.keys", { n: found.length })}</span></summary>
            {found.map((one) => (
              <SchemaField
                key={one.name} name={one.name} schema={one.schema} fault={faults.get(one.name)}
                value={changed[one.name] ?? (told.given.includes(one.name) || kindOf(one.schema, one.name) === "other" ? textOf(at(told.values, one.name)) : "")}
                mark={one.name in changed ? t("config.changed") : told.waiting.includes(one.name) ? t("config.restart") : undefined}
                set={(text) => (setSaved(false), setChanged((old) => ({ ...old, [one.name]: text })))}
              />
            ))}
          </details>
        );
      })}
      {Boolean(failure) && <Wrong error={failure} />}
      {(count > 0 || saved) && (
        <div className="savebar" role="status">
          {saved && count === 0 ? <p>{t("config.saved")}</p> : <p>{t("config.unsaved", { n: count })}</p>}
          {count > 0 && <Button onClick={() => (setChanged({}), setFailure(null))}>{t("app.cancel")}</Button>}
          {count > 0 && <Button kind="main" type="submit">{t("config.save")}</Button>}
        </div>
      )}
      <p className="hint">{t("config.lists")}</p>
      <Command text="kith config check" />
    </form>
  );
}

/** What was typed after `sent` had gone out. */
const rest = (now: Record<string, string>, sent: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(now).filter(([name, text]) => sent[name] !== text));

function leaves(schema: Schema, name: string, root: Schema): Leaf[] {
  if (kindOf(schema, name) !== "group") return [{ name, schema }];
  return Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => leaves(resolved(inner, root), `${name}.${key}`, root));
}

function at(values: unknown, name: string): unknown {
  return name.split(".").reduce<unknown>((found, key) => (found as Record<string, unknown> | null)?.[key], values);
}

function value(text: string, kind: ReturnType<typeof kindOf>): unknown {
  try {
    const found = valueOf(text, kind);
    return Array.isArray(found) && found.length === 0 ? null : found;
  } catch {
    return text;
  }
}
