import type { FormEvent } from "react";
import { useState } from "react";
import { enter, Failure } from "../api";
import { Button, Command, Wrong } from "../ui";
import { Language } from "../ui/choose";
import { useWords } from "../words";

/** Where one signs in. */
export function Door() {
  const t = useWords();
  const [given, setGiven] = useState("");
  const [stay, setStay] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    const failed = (reason: unknown): void =>
      setError(reason instanceof Failure && reason.status === 401 ? new Error(t("door.wrong")) : reason);
    void enter(given.trim(), stay).catch(failed).finally(() => setBusy(false));
  };
  return (
    <main className="door">
      <form className="card" onSubmit={submit}>
        <img src="/app/icon.svg" alt="" width="56" height="56" />
        <h1>{t("door.title")}</h1>
        <p>{t("door.text")}</p>
        <label className="field">
          <span>{t("door.token")}</span>
          <input type="password" value={given} onChange={(e) => setGiven(e.target.value)} placeholder="kith_…" autoComplete="current-password" spellCheck={false} required autoFocus />
        </label>
        <label className="check">
          <input type="checkbox" checked={stay} onChange={(e) => setStay(e.target.checked)} /> {t("door.stay")}
        </label>
        {Boolean(error) && <Wrong error={error} />}
        <Button kind="main" type="submit" disabled={busy || !given.trim()}>{t("door.enter")}</Button>
        <details>
          <summary>{t("door.help")}</summary>
          <p>{t("door.help.text")}</p>
          <Command text="kith token new" />
        </details>
        <Language />
      </form>
    </main>
  );
}
