import { BookOpen, CircleStop, Pencil, RotateCcw, Volume2 } from "lucide-react";
import { lazy, memo, Suspense, useEffect, useState } from "react";
import type { Part } from "../api";
import { Markdown } from "../markdown";
import { language } from "../prefs";
import { useStore } from "../store";
import type { Said } from "../talk";
import { Badge, Button, Copy, IconButton } from "../ui";
import { useWords, when } from "../words";

const Chart = lazy(() => import("../markdown/chart"));

type Acts = { edit?: (text: string) => void; ask?: (text: string) => void; again?: (id: string) => void };

/** One thing that was said, by the person or by Kith. */
export const Message = memo(function Message({ said, acts }: { said: Said; acts: Acts }) {
  const t = useWords();
  const chosen = useStore(language);
  const mine = said.by === "me";
  return (
    <article className={mine ? "said mine" : "said theirs"} aria-label={mine ? t("chat.me") : t("chat.kith")} aria-busy={said.state === "coming"}>
      {mine ? <p className="bubble">{said.text}</p> : <Answer said={said} />}
      {said.state === "failed" && (
        <p className="said-note bad">
          {mine ? t("chat.unsent") : t("chat.failed")} {said.note}
          {mine && acts.again && <Button kind="quiet" onClick={() => acts.again?.(said.id)}>{t("app.retry")}</Button>}
        </p>
      )}
      <footer className="said-foot">
        {said.state === "sending" ? <span>{t("chat.sending")}</span> : <time>{when(said.at, chosen)}</time>}
        {!mine && said.model && <span>{said.model}</span>}
        {said.state !== "coming" && said.text && (
          <span className="acts">
            <Copy text={said.text} />
            {!mine && <Speak text={said.text} />}
            {mine && acts.edit && <IconButton label={t("chat.edit")} onClick={() => acts.edit?.(said.text)}><Pencil /></IconButton>}
            {mine && acts.ask && <IconButton label={t("chat.again")} onClick={() => acts.ask?.(said.text)}><RotateCcw /></IconButton>}
          </span>
        )}
      </footer>
    </article>
  );
});

function Answer({ said }: { said: Said }) {
  const t = useWords();
  return (
    <>
      <p className="who">
        <img src="/app/icon.svg" alt="" width="20" height="20" /> {t("chat.kith")} <Badge tone="plain">{t("chat.ai")}</Badge>
      </p>
      {said.state === "coming" && !said.text ? (
        <p className="dots" role="status"><span className="unseen">{t("chat.thinking")}</span><i /><i /><i /></p>
      ) : (
        <Markdown text={said.text} />
      )}
      {said.parts.map((part, place) => <Piece key={place} part={part} />)}
      {said.sources.length > 0 && (
        <details className="sources">
          <summary><BookOpen aria-hidden /> {t("chat.sources")} ({said.sources.length})</summary>
          <ul>{said.sources.map((source) => <li key={source}>{source}</li>)}</ul>
        </details>
      )}
    </>
  );
}

/** A part that is not text. */
function Piece({ part }: { part: Part }) {
  if (part.type !== "data") return null;
  if (part.kind === "chart") return <Suspense><Chart source={JSON.stringify(part.value)} /></Suspense>;
  const { columns, rows } = part.value as { columns?: unknown; rows?: unknown };
  if (part.kind !== "table" || !Array.isArray(rows)) return null;
  return (
    <div className="prose">
      <div className="table" tabIndex={0}>
        <table>
          {Array.isArray(columns) && <thead><tr>{columns.map((name, at) => <th key={at}>{String(name)}</th>)}</tr></thead>}
          <tbody>
            {rows.map((row: unknown, at) => (
              <tr key={at}>{(Array.isArray(row) ? row : [row]).map((cell, of) => <td key={of}>{String(cell)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** Reads aloud with a voice of this device; voices that send the text elsewhere are not used. */
function Speak({ text }: { text: string }) {
  const t = useWords();
  const chosen = useStore(language);
  const [speaking, setSpeaking] = useState(false);
  const [voices, setVoices] = useState<SpeechSynthesisVoice[]>([]);
  useEffect(() => {
    const synth = globalThis.speechSynthesis;
    if (!synth) return;
    const look = (): void => setVoices(synth.getVoices().filter((voice) => voice.localService));
    look();
    synth.addEventListener?.("voiceschanged", look);
    return () => synth.removeEventListener?.("voiceschanged", look);
  }, []);
  const tongue = /[\u3400-\u9fff]/.test(text) ? "zh" : chosen;
  const voice = voices.find((one) => one.lang.toLowerCase().startsWith(tongue));
  if (!voice) return null;
  const toggle = (): void => {
    speechSynthesis.cancel();
    if (speaking) return setSpeaking(false);
    const told = new SpeechSynthesisUtterance(text.replace(/[`*#_>|]/g, ""));
    told.voice = voice;
    told.onend = told.onerror = () => setSpeaking(false);
    setSpeaking(true);
    speechSynthesis.speak(told);
  };
  return <IconButton label={t(speaking ? "chat.quiet" : "chat.speak")} onClick={toggle}>{speaking ? <CircleStop /> : <Volume2 />}</IconButton>;
}
