import { useEffect, useState } from "react";
import { me } from "../api";
import type { Theme } from "../prefs";
import { theme } from "../prefs";
import { useStore } from "../store";
import { Button, Command, Page } from "../ui";
import { Choose, Language } from "../ui/choose";
import { useWords } from "../words";
import { Account, Authenticator, Linked, Passkeys } from "./account";

const THEMES: Theme[] = ["auto", "light", "dark"];
type Prompt = Event & { prompt: () => Promise<void> };

export default function Settings() {
  const t = useWords();
  const who = useStore(me);
  const look = useStore(theme);
  return (
    <Page title={t("settings.title")}>
      <div className="cards">
        <section className="card">
          <Language />
          <Choose label={t("settings.theme")} value={look} all={THEMES} name={(one) => t(`settings.theme.${one}`)} choose={(one) => theme.set(one)} />
        </section>
        <Account />
        <Authenticator />
        <Passkeys />
        <Linked />
        <Install />
        <section className="card">
          <h2>{t("settings.api")}</h2>
          <p>{t("settings.api.text")}</p>
          <Command text={`${location.origin}/v1`} />
        </section>
      </div>
      <p className="hint">{t("settings.about", { version: who?.version ?? "" })}</p>
    </Page>
  );
}

let asked: Prompt | null = null;
window.addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  asked = event as Prompt;
});

/** Offered where the browser says that it can be done. */
function Install() {
  const t = useWords();
  const [can, setCan] = useState(asked !== null);
  useEffect(() => {
    const look = (): void => setCan(true);
    window.addEventListener("beforeinstallprompt", look);
    return () => window.removeEventListener("beforeinstallprompt", look);
  }, []);
  if (!can) return null;
  return (
    <section className="card">
      <h2>{t("settings.install")}</h2>
      <p>{t("settings.install.text")}</p>
      <Button onClick={() => void asked?.prompt()}>{t("settings.install")}</Button>
    </section>
  );
}
