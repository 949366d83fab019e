import { KeyRound } from "lucide-react";
import type { FormEvent, ReactNode } from "react";
import { useEffect, useState } from "react";
import type { Proof } from "../api";
import { call, depart, enter, Failure, fresh } from "../api";
import { ended, reason, tidy } from "../journey";
import { able, proof } from "../passkey";
import { Button, Command, Wrong } from "../ui";
import { Choose, Language } from "../ui/choose";
import type { Key } from "../words/en";
import { useWords } from "../words";

type Way = "password" | "code" | "token";
const WAYS: Way[] = ["password", "code", "token"];
const SHORTEST = 10;
const LACKING = "second_factor_needed";

/** The one-time code that an address brings along, behind the # so that it never reaches a log. */
const brought = (): string => /^#code=([\w-]{4,64})$/.exec(location.hash)?.[1] ?? "";

/** Where one signs in: with a password, with a one-time code that sets one, or with an access token. */
export function Door() {
  const t = useWords();
  const [claimed, setClaimed] = useState<boolean | null>(null);
  const [way, setWay] = useState<Way>(brought() ? "code" : "password");
  useEffect(() => {
    const found = ({ claimed }: { claimed: boolean }): void => {
      setClaimed(claimed);
      if (!claimed) setWay("code");
    };
    void call<{ claimed: boolean }>("/api/start").then(found, () => setClaimed(true));
  }, []);
  const [half] = useState(() => ended() === LACKING);
  const first = claimed === false;
  return (
    <main className="door">
      <div className="card">
        <img src="/app/icon.svg" alt="" width="56" height="56" />
        <h1>{t(first ? "door.first" : "door.title")}</h1>
        <p>{t(first ? "door.first.text" : "door.text")}</p>
        <Choose label={t("door.way")} value={way} all={WAYS} name={(one) => t(`door.way.${one}`)} choose={setWay} />
        {way === "password" && (half ? <Second /> : <Password />)}
        {way === "password" && <Others />}
        {way === "code" && <Code first={first} />}
        {way === "token" && <Token />}
        <Language />
      </div>
    </main>
  );
}

/** A form that signs in with what `proof` gives. */
function Form({ proof: shown, ready, wrong, children }: { proof: () => Proof; ready: boolean; wrong?: (failure: Failure) => Key | null; children: ReactNode }) {
  const t = useWords();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    const failed = (reason: unknown): void => {
      const key = reason instanceof Failure ? (wrong?.(reason) ?? null) : null;
      setError(key ? new Error(t(key)) : reason);
      setBusy(false);
    };
    void enter(shown()).catch(failed);
  };
  return (
    <form className="stack" onSubmit={submit}>
      {children}
      {Boolean(error) && <Wrong error={error} />}
      <Button kind="main" type="submit" disabled={busy || !ready}>{t("door.enter")}</Button>
    </form>
  );
}

function Password() {
  const t = useWords();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [totp, setTotp] = useState("");
  const [second, setSecond] = useState(false);
  const wrong = (failure: Failure): Key | null => {
    if (failure.code === "second_factor_needed") setSecond(true);
    if (failure.code === "second_factor_needed") return "door.totp.needed";
    if (failure.code === "second_factor") return "door.totp.wrong";
    return failure.status === 401 ? "door.password.wrong" : null;
  };
  return (
    <Form proof={() => ({ name: name.trim(), password, totp: totp.trim() })} ready={Boolean(name.trim() && password)} wrong={wrong}>
      <Field label={t("door.name")} value={name} set={setName} complete="username" first />
      <Field label={t("door.password")} value={password} set={setPassword} kind="password" complete="current-password" />
      {second && <Field label={t("door.totp")} value={totp} set={setTotp} complete="one-time-code" digits first />}
      <details>
        <summary>{t("door.lost")}</summary>
        <p>{t("door.lost.text")}</p>
        <Command text="kith users code owner" />
      </details>
    </Form>
  );
}

/** After single sign-on: the code that the account itself asks for. */
function Second() {
  const t = useWords();
  const [totp, setTotp] = useState("");
  const wrong = (failure: Failure): Key | null => {
    if (failure.code === "second_factor") return "door.totp.wrong";
    return failure.status === 401 ? "door.totp.late" : null;
  };
  return (
    <Form proof={() => ({ totp: totp.trim() })} ready={Boolean(totp.trim())} wrong={wrong}>
      <p className="hint">{t("door.totp.needed")}</p>
      <Field label={t("door.totp")} value={totp} set={setTotp} complete="one-time-code" digits first />
    </Form>
  );
}

/** A passkey of this device, and single sign-on where the house has a provider. */
function Others() {
  const t = useWords();
  const [sso, setSso] = useState(false);
  const [told] = useState(ended);
  useEffect(tidy, []);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    void call<{ available: boolean }>("/api/oidc").then((told) => setSso(told.available), () => undefined);
  }, []);
  const key = (): void => {
    setError(null);
    void proof().then(enter).catch((reason: unknown) => setError(reason instanceof Failure ? reason : new Error(t("door.passkey.none"))));
  };
  return (
    <div className="stack">
      {able() && <Button onClick={key}><KeyRound aria-hidden /> {t("door.passkey")}</Button>}
      {sso && <Button onClick={depart}>{t("door.sso")}</Button>}
      {Boolean(error) && <Wrong error={error} />}
      {told && told !== "connected" && told !== LACKING && !error && <Wrong error={new Error(t(reason(told), { code: told }))} />}
    </div>
  );
}

function Code({ first }: { first: boolean }) {
  const t = useWords();
  const [code, setCode] = useState(brought());
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const good = password.length >= SHORTEST && password === again;
  const proof = (): Proof => {
    if (first) fresh.set(true);
    history.replaceState(null, "", location.pathname);
    return { code: code.trim(), password };
  };
  const wrong = (failure: Failure): Key | null => {
    fresh.set(false);
    return failure.status === 401 ? "door.code.wrong" : null;
  };
  return (
    <Form proof={proof} ready={Boolean(code.trim()) && good} wrong={wrong}>
      <Field label={t("door.code")} value={code} set={setCode} complete="one-time-code" first />
      {first && <p className="hint">{t("door.code.where")}</p>}
      <Field label={t("door.password.new")} value={password} set={setPassword} kind="password" complete="new-password" />
      <Field label={t("door.password.again")} value={again} set={setAgain} kind="password" complete="new-password" />
      <p className="hint" role="status">{password && password.length < SHORTEST ? t("door.password.short", { n: SHORTEST }) : again && again !== password ? t("door.password.other") : ""}</p>
    </Form>
  );
}

function Token() {
  const t = useWords();
  const [token, setToken] = useState("");
  return (
    <Form proof={() => ({ token: token.trim() })} ready={Boolean(token.trim())} wrong={(failure) => (failure.status === 401 ? "door.wrong" : null)}>
      <Field label={t("door.token")} value={token} set={setToken} kind="password" complete="off" hint="kith_…" first />
      <details>
        <summary>{t("door.help")}</summary>
        <p>{t("door.help.text")}</p>
        <Command text="kith token new" />
      </details>
    </Form>
  );
}

type FieldProps = { label: string; value: string; set: (value: string) => void; complete: string; kind?: string; hint?: string; first?: boolean; digits?: boolean };

function Field({ label, value, set, complete, kind = "text", hint, first, digits }: FieldProps) {
  return (
    <label className="field">
      <span>{label}</span>
      <input type={kind} value={value} onChange={(e) => set(e.target.value)} autoComplete={complete} placeholder={hint} spellCheck={false} autoCapitalize="off" inputMode={digits ? "numeric" : undefined} required autoFocus={first} />
    </label>
  );
}
