import type { ReactNode } from "react";
import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import type { Model } from "../api";
import { fresh } from "../api";
import type { Theme } from "../prefs";
import { theme } from "../prefs";
import { useStore } from "../store";
import { Button } from "../ui";
import { Choose, Language } from "../ui/choose";
import { useLoad } from "../ui/load";
import { useWords } from "../words";
import { Fetch, Suggestion } from "./fetch";
import { Faces } from "./faces";

const THEMES: Theme[] = ["auto", "light", "dark"];

/** The first minutes of a new owner: how it looks, which model, which persona; it ends in a conversation. */
export default function Welcome() {
  const t = useWords();
  const [, go] = useLocation();
  const [step, setStep] = useState(0);
  const [minds, setMinds] = useState(0);
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => void head.current?.focus(), [step]);
  const done = (): void => {
    fresh.set(false);
    go("/c/main");
  };
  const steps: { title: string; text: string; body: ReactNode; skip?: boolean }[] = [
    { title: t("welcome.look"), text: t("welcome.look.text"), body: <Look /> },
    { title: t("welcome.model"), text: t("welcome.model.text"), body: <Mind found={setMinds} />, skip: minds === 0 },
    { title: t("welcome.persona"), text: t("welcome.persona.text"), body: <Faces /> },
    { title: t("welcome.done"), text: t("welcome.done.text"), body: null },
  ];
  const shown = steps[step];
  const last = step === steps.length - 1;
  return (
    <main className="door">
      <div className="card wide">
        <p className="hint row"><img src="/app/icon.svg" alt="" width="28" height="28" /> {t("welcome.title")} · {t("welcome.step", { n: step + 1, all: steps.length })}</p>
        <progress value={step + 1} max={steps.length} aria-label={t("welcome.title")} />
        <h1 ref={head} tabIndex={-1}>{shown?.title}</h1>
        <p>{shown?.text}</p>
        {shown?.body}
        <div className="row end">
          {step > 0 && <Button onClick={() => setStep(step - 1)}>{t("welcome.back")}</Button>}
          {last ? <Button kind="main" onClick={done}>{t("welcome.talk")}</Button> : <Button kind="main" onClick={() => setStep(step + 1)}>{t(shown?.skip ? "welcome.skip" : "welcome.next")}</Button>}
        </div>
      </div>
    </main>
  );
}

function Look() {
  const t = useWords();
  const look = useStore(theme);
  return (
    <>
      <Language />
      <Choose label={t("settings.theme")} value={look} all={THEMES} name={(one) => t(`settings.theme.${one}`)} choose={(one) => theme.set(one)} />
    </>
  );
}

function Mind({ found }: { found: (minds: number) => void }) {
  const t = useWords();
  const { data, again } = useLoad<{ models: Model[] }>("/api/models");
  const names = data?.models.filter((one) => one.kind === "chat").map((one) => one.name) ?? [];
  useEffect(() => found(names.length), [found, names.length]);
  return (
    <>
      {names.length > 0 && <p className="good-note">{t("welcome.model.there", { names: names.join(", ") })}</p>}
      <Suggestion />
      <Fetch arrived={again} />
    </>
  );
}
