import type { FormEvent } from "react";
import { useState } from "react";
import type { Role } from "../api";
import { call, me, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Command, Empty, Page, Sure, Waiting, Wrong } from "../ui";
import { Absent, save, useLoad } from "../ui/load";
import { useWords, when } from "../words";

type User = { id: string; name: string; role: Role; created: number; disabled: boolean; secured: boolean };
type Person = { id: string; name: string; kind: string; handles: Record<string, string>; locale: string; turns: number; seen: number };

/** Who may sign in, and who has been met on any channel. */
export default function Household() {
  const t = useWords();
  return (
    <Page title={t("household.title")} text={t("household.text")}>
      <Users />
      <People />
    </Page>
  );
}

function Users() {
  const t = useWords();
  const who = useStore(me);
  const { data, error, again } = useLoad<{ users: User[] }>("/api/users");
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("member");
  const [code, setCode] = useState<{ name: string; code: string } | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const act = (work: Promise<unknown>): void => void work.then(() => (setRefused(null), again()), setRefused);
  const add = (event: FormEvent): void => {
    event.preventDefault();
    act(call<{ code: string }>("/api/users", "POST", { name: name.trim(), role }).then((told) => (setCode({ name: name.trim(), code: told.code }), setName(""))));
  };
  const invite = (one: User): void => act(call<{ code: string }>(`/api/users/${path(one.id)}/code`, "POST").then((told) => setCode({ name: one.name, code: told.code })));
  const roles: Role[] = who?.role === "owner" ? ["admin", "member", "guest"] : ["member", "guest"];
  return (
    <section className="group">
      <h2>{t("household.users")}</h2>
      {Boolean(error) && <Absent error={error} again={again} />}
      {Boolean(refused) && <Wrong error={refused} />}
      {!data && !error && <Waiting />}
      <form className="card line-form" onSubmit={add}>
        <label className="field grow"><span>{t("household.name")}</span><input value={name} onChange={(e) => setName(e.target.value)} maxLength={80} required /></label>
        <label className="field"><span>{t("tokens.role")}</span>
          <select value={role} onChange={(e) => setRole(e.target.value as Role)}>{roles.map((one) => <option key={one} value={one}>{t(`role.${one}`)}</option>)}</select>
        </label>
        <Button kind="main" type="submit" disabled={!name.trim()}>{t("household.add")}</Button>
      </form>
      {code && (
        <div className="card good" role="status">
          <p>{t("household.code", { name: code.name })}</p>
          <Command text={`${location.origin}/app/#code=${code.code}`} />
        </div>
      )}
      <ul className="rows">
        {data?.users.map((one) => (
          <li key={one.id}>
            <span className="grow"><strong>{one.name}</strong><span className="hint">{one.secured ? t("household.secured") : ""}</span></span>
            {one.disabled && <Badge tone="bad">{t("household.shut")}</Badge>}
            {one.id === "owner" || !roles.includes(one.role) ? <Badge tone="plain">{t(`role.${one.role}`)}</Badge> : (
              <span className="row">
                <select value={one.role} aria-label={`${t("tokens.role")}: ${one.name}`} onChange={(e) => act(call(`/api/users/${path(one.id)}`, "POST", { role: e.target.value }))}>
                  {roles.map((other) => <option key={other} value={other}>{t(`role.${other}`)}</option>)}
                </select>
                <Button onClick={() => invite(one)}>{t("household.invite")}</Button>
                <Button onClick={() => act(call(`/api/users/${path(one.id)}`, "POST", { disabled: !one.disabled }))}>{t(one.disabled ? "household.open" : "household.close")}</Button>
                <Sure label={t("household.remove")} text={t("household.remove.sure", { name: one.name })} onSure={() => act(call(`/api/users/${path(one.id)}`, "DELETE"))}>
                  <Button kind="danger">{t("household.remove")}</Button>
                </Sure>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Their name; until they have one, that under which a channel knows them. */
const called = (one: Person): string => one.name || Object.values(one.handles)[0] || "";

function People() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again } = useLoad<{ people: Person[] }>("/api/people");
  const [query, setQuery] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const [renaming, setRenaming] = useState<{ id: string; name: string } | null>(null);
  const act = (work: Promise<unknown>): void => void work.then(() => (setRefused(null), again()), setRefused);
  const rename = (event: FormEvent): void => {
    event.preventDefault();
    if (renaming) act(call(`/api/people/${path(renaming.id)}`, "PUT", { name: renaming.name.trim() }).then(() => setRenaming((old) => (old === renaming ? null : old))));
  };
  const wanted = query.trim().toLowerCase();
  const shown = data?.people.filter((one) => !wanted || `${one.name} ${Object.values(one.handles).join(" ")}`.toLowerCase().includes(wanted));
  return (
    <section className="group">
      <h2>{t("household.people")}</h2>
      <p className="hint">{t("household.people.text")}</p>
      {Boolean(error) && <Absent error={error} again={again} />}
      {Boolean(refused) && <Wrong error={refused} />}
      {data && data.people.length > 8 && <input className="find" type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("household.find")} aria-label={t("household.find")} />}
      {data?.people.length === 0 && <Empty><p>{t("household.nobody")}</p></Empty>}
      <ul className="rows">
        {shown?.slice(0, 200).map((one) => (
          <li key={one.id}>
            <span className="grow">
              {renaming?.id === one.id ? (
                <form className="line-form" onSubmit={rename}>
                  <input value={renaming.name} onChange={(e) => setRenaming({ id: one.id, name: e.target.value })} aria-label={t("household.name")} autoFocus maxLength={200} />
                  <Button kind="main" type="submit">{t("memory.keep")}</Button>
                </form>
              ) : <strong>{called(one) || t("household.unnamed")}</strong>}
              <span className="hint">{Object.entries(one.handles).map(([channel, handle]) => `${channel}: ${handle}`).join(" · ")}</span>
              <span className="hint">{t("household.turns", { n: one.turns })}{one.seen > 0 && ` · ${when(one.seen, chosen)}`}</span>
            </span>
            <span className="row">
              <Button onClick={() => setRenaming({ id: one.id, name: called(one) })}>{t("household.rename")}</Button>
              <Button onClick={() => act(call(`/api/people/${path(one.id)}/export`).then((told) => save(`${one.id}.json`, told)))}>{t("memory.export")}</Button>
              <Sure label={t("household.erase")} text={t("household.erase.sure", { name: called(one) || one.id })} onSure={() => act(call(`/api/people/${path(one.id)}`, "DELETE"))}>
                <Button kind="danger">{t("household.erase")}</Button>
              </Sure>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
