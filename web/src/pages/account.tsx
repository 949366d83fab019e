import { LogOut } from "lucide-react";
import type { FormEvent } from "react";
import { useState } from "react";
import { call, leave, me, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Command, Sure, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import { useWords, when } from "../words";

type Visit = { id: string; created: number; until: number; origin: string; here: boolean };

/** Who is signed in here, in which browsers, and with what second proof. */
export function Account() {
  const t = useWords();
  const who = useStore(me);
  return (
    <section className="card">
      <h2>{t("settings.me")}</h2>
      <p className="row">{who?.name} {who && <Badge tone="plain">{t(`role.${who.role}`)}</Badge>}</p>
      <Visits />
      <div className="row">
        <Button onClick={() => void leave()}><LogOut aria-hidden /> {t("settings.leave")}</Button>
        <Sure label={t("account.everywhere")} text={t("account.everywhere.sure")} onSure={() => void leave(true)}><Button kind="danger">{t("account.everywhere")}</Button></Sure>
      </div>
    </section>
  );
}

function Visits() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, again } = useLoad<{ sessions: Visit[] }>("/api/sessions");
  if (!data || data.sessions.length === 0) return null;
  return (
    <ul className="bare">
      {data.sessions.map((one) => (
        <li key={one.id} className="row">
          <span className="grow">{one.origin || "–"} <span className="hint">{t("account.since")} {when(one.created, chosen)}</span></span>
          {one.here ? <Badge tone="good">{t("account.here")}</Badge> : <Button onClick={() => void call(`/api/sessions/${path(one.id)}`, "DELETE").then(again, again)}>{t("account.end")}</Button>}
        </li>
      ))}
    </ul>
  );
}

/** An authenticator app as a second proof. */
export function Authenticator() {
  const t = useWords();
  const [made, setMade] = useState<{ secret: string; address: string } | null>(null);
  const [code, setCode] = useState("");
  const [told, setTold] = useState("");
  const [wrong, setWrong] = useState<unknown>(null);
  const start = (): void => void call<{ secret: string; address: string }>("/api/authenticator/new", "POST").then((found) => (setMade(found), setTold(""), setWrong(null)), setWrong);
  const turn = (secret: string): void =>
    void call("/api/authenticator", "POST", { secret, code: code.trim() }).then(() => (setMade(null), setCode(""), setWrong(null), setTold(t(secret ? "account.totp.on" : "account.totp.off"))), setWrong);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    turn(made?.secret ?? "");
  };
  return (
    <section className="card">
      <h2>{t("account.totp")}</h2>
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
