import { LogOut } from "lucide-react";
import type { FormEvent } from "react";
import { useEffect, useState } from "react";
import { call, Failure, leave, me, path } from "../api";
import { ended, reason, tidy } from "../journey";
import { able, make } from "../passkey";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Command, Sure, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import { useWords, when } from "../words";

type Visit = { id: string; created: number; until: number; origin: string; here: boolean };

const FEW = 4;

/** Who is signed in here, in which browsers, and with what second proof. */
export function Account() {
  const t = useWords();
  const who = useStore(me);
  const [stayed, setStayed] = useState<unknown>(null);
  const out = (everywhere: boolean): void => {
    setStayed(null);
    void leave(everywhere).catch((reason: unknown) => setStayed(reason instanceof Failure && reason.status === 0 ? new Error(t("account.stayed")) : reason));
  };
  return (
    <section className="card">
      <h2>{t("settings.me")}</h2>
      <p className="row">{who?.name} {who && <Badge tone="plain">{t(`role.${who.role}`)}</Badge>}</p>
      <Visits />
      <div className="row">
        <Button onClick={() => out(false)}><LogOut aria-hidden /> {t("settings.leave")}</Button>
        <Sure label={t("account.everywhere")} text={t("account.everywhere.sure")} onSure={() => out(true)}><Button kind="danger">{t("account.everywhere")}</Button></Sure>
      </div>
      {Boolean(stayed) && <Wrong error={stayed} />}
    </section>
  );
}

function Visits() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<{ sessions: Visit[] }>("/api/sessions");
  const [all, setAll] = useState(false);
  if (!data || data.sessions.length === 0) return null;
  const sorted = data.sessions.toSorted((a, b) => Number(b.here) - Number(a.here));
  return (
    <ul className="bare">
      {sorted.slice(0, all ? sorted.length : FEW).map((one) => (
        <li key={one.id} className="row">
          <span className="grow">{one.origin || "–"} <span className="hint">{t("account.since")} {when(one.created, chosen)}</span></span>
          {one.here ? <Badge tone="good">{t("account.here")}</Badge> : <Button onClick={() => void call(`/api/sessions/${path(one.id)}`, "DELETE").then(again, again)}>{t("account.end")}</Button>}
        </li>
      ))}
      {!all && sorted.length > FEW && <li><Button kind="quiet" onClick={() => setAll(true)}>{t("account.more", { n: sorted.length - FEW })}</Button></li>}
    </ul>
  );
}

/** The passkeys that sign their person in. */
export function Passkeys() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<{ passkeys: { id: string; name: string; created: number }[] }>("/api/passkeys");
  const [name, setName] = useState("");
  const [wrong, setWrong] = useState<unknown>(null);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setWrong(null);
    void make(name.trim()).then(() => (setName(""), again())).catch((reason: unknown) => setWrong(reason instanceof Failure ? reason : new Error(t("door.passkey.none"))));
  };
  if (!data) return null;
  return (
    <section className="card">
      <h2>{t("account.passkeys")}</h2>
      <p>{t(able() ? "account.passkeys.text" : "account.passkeys.name")}</p>
      <ul className="bare">
        {data.passkeys.map((one) => (
          <li key={one.id} className="row">
            <span className="grow">{one.name} <span className="hint">{t("account.since")} {when(one.created, chosen)}</span></span>
            <Button kind="danger" onClick={() => void call(`/api/passkeys/${path(one.id)}`, "DELETE").then(again, setWrong)}>{t("household.remove")}</Button>
          </li>
        ))}
      </ul>
      {able() && (
        <form className="line-form" onSubmit={submit}>
          <label className="field grow"><span>{t("account.passkeys.of")}</span><input value={name} onChange={(e) => setName(e.target.value)} maxLength={80} required /></label>
          <Button type="submit" disabled={!name.trim()}>{t("account.passkeys.make")}</Button>
        </form>
      )}
      {Boolean(wrong) && <Wrong error={wrong} />}
    </section>
  );
}

type Linked = { available: boolean; links: { id: string; name: string; issuer: string; since: number }[] };

/** The accounts of the provider of single sign-on that open this one. */
export function Linked() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<Linked>("/api/oidc/links");
  const [told, setTold] = useState(ended);
  useEffect(tidy, []);
  const [wrong, setWrong] = useState<unknown>(null);
  if (!data || (!data.available && data.links.length === 0)) return null;
  const connect = (): void => void call<{ address: string }>("/api/oidc/links", "POST").then(({ address }) => location.assign(address), setWrong);
  return (
    <section className="card">
      <h2>{t("door.sso")}</h2>
      <p>{t("account.links.text")}</p>
      <p className="good-note" role="status">{told === "connected" && t("account.links.done")}</p>
      <ul className="bare">
        {data.links.map((one) => (
          <li key={one.id} className="row">
            <span className="grow">{one.name || "–"} <span className="hint">{one.issuer} {one.since > 0 && `${t("account.since")} ${when(one.since, chosen)}`}</span></span>
            <Sure label={t("account.links.drop")} text={t("account.links.drop.sure", { name: one.name })} onSure={() => void call(`/api/oidc/links/${path(one.id)}`, "DELETE").then(() => (setWrong(null), setTold(""), again()), setWrong)}><Button kind="danger">{t("account.links.drop")}</Button></Sure>
          </li>
        ))}
      </ul>
      {data.available && <Button onClick={connect}>{t("account.links.add")}</Button>}
      {Boolean(wrong) && <Wrong error={wrong} />}
      {told && told !== "connected" && !wrong && <Wrong error={new Error(t(reason(told), { code: told }))} />}
    </section>
  );
}

/** An authenticator app as a second proof. */
export function Authenticator() {
  const t = useWords();
  const { data: now, again } = useLoad<{ on: boolean }>("/api/authenticator");
  const [made, setMade] = useState<{ secret: string; address: string } | null>(null);
  const [code, setCode] = useState("");
  const [told, setTold] = useState("");
  const [wrong, setWrong] = useState<unknown>(null);
  const start = (): void => void call<{ secret: string; address: string }>("/api/authenticator/new", "POST").then((found) => (setMade(found), setTold(""), setWrong(null)), setWrong);
  const turn = (secret: string): void =>
    void call("/api/authenticator", "POST", { secret, code: code.trim() }).then(() => (setMade(null), setCode(""), setWrong(null), setTold(t(secret ? "account.totp.on" : "account.totp.off")), again()), setWrong);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    turn(made?.secret ?? "");
  };
  return (
    <section className="card">
      <h2 className="row">{t("account.totp")} {now && <Badge tone={now.on ? "good" : "plain"}>{t(now.on ? "config.on" : "config.off")}</Badge>}</h2>
      <p>{t("account.totp.text")}</p>
      <p className="good-note" role="status">{told}</p>
      {made && (
        <>
          <p>{t("account.totp.add")}</p>
          <Command text={made.secret} />
          <a href={made.address}>{t("account.totp.open")}</a>
        </>
      )}
      <form className="line-form" onSubmit={submit}>
        <label className="field grow"><span>{t("door.totp")}</span><input value={code} onChange={(e) => setCode(e.target.value)} inputMode="numeric" autoComplete="one-time-code" maxLength={8} /></label>
        {made ? <Button kind="main" type="submit" disabled={code.trim().length < 6}>{t("account.totp.turn")}</Button> : (
          <>
            <Button onClick={start}>{t("account.totp.begin")}</Button>
            <Button kind="danger" type="submit" disabled={code.trim().length < 6}>{t("account.totp.drop")}</Button>
          </>
        )}
      </form>
      {Boolean(wrong) && <Wrong error={wrong} />}
    </section>
  );
}
