import { BookOpen, CircleStop, GitBranch, Pencil, RotateCcw, ThumbsDown, ThumbsUp, Volume2 } from "lucide-react";
import type { KeyboardEvent } from "react";
import { lazy, memo, Suspense, useEffect, useRef, useState } from "react";
import type { Part } from "../api";
import { Failure } from "../api";
import { Markdown } from "../markdown";
import { language } from "../prefs";
import { useStore } from "../store";
import type { Said } from "../talk";
import { Badge, Button, Copy, IconButton } from "../ui";
import { useWords, when } from "../words";
import { Shown } from "./media";

const Chart = lazy(() => import("../markdown/chart"));

const LONG = 1500;

export type Acts = {
  /** Whether it could be said otherwise. */
  edit?: (said: Said, text: string) => Promise<boolean>;
  redo?: (said: Said) => void;
  branch?: (said: Said) => void;
  again?: (id: string) => void;
  rate?: (turn: string, rating: number) => Promise<void>;
};

/** One thing that was said, by the person or by Kith. */
export const Message = memo(function Message({ said, acts }: { said: Said; acts: Acts }) {
  const t = useWords();
  const chosen = useStore(language);
  const [editing, setEditing] = useState(false);
  const mine = said.by === "me";
  const { edit, redo, branch } = acts;
  const kept = said.state !== "coming" && Boolean(said.turn);
  return (
    <article className={mine ? "said mine" : "said theirs"} aria-label={mine ? t("chat.me") : t("chat.kith")} aria-busy={said.state === "coming"}>
      {mine && said.parts.map((part, place) => <Piece key={place} part={part} />)}
      {mine && editing && <Edit text={said.text} done={(text) => (text ? void edit?.(said, text).then((done) => done && setEditing(false)) : setEditing(false))} />}
      {mine && !editing && said.text && <p className="bubble">{said.text}</p>}
      {!mine && <Answer said={said} />}
      {said.state === "failed" && (
        <p className="said-note bad">
          {mine ? t("chat.unsent") : t("chat.failed")} {said.note}
          {mine && acts.again && <Button kind="quiet" onClick={() => acts.again?.(said.id)}>{t("app.retry")}</Button>}
        </p>
      )}
      <footer className="said-foot">
        {said.state === "sending" ? <span>{t("chat.sending")}</span> : <time>{when(said.at, chosen)}</time>}
        {!mine && said.model && <span>{said.model}</span>}
        {(said.instead || said.fallback) && <Badge tone="fair">{said.instead ? t("chat.instead", { model: said.instead }) : t("chat.fallback")}</Badge>}
        {said.state === "stopped" && <Badge tone="plain">{t("chat.stopped")}</Badge>}
        {said.state !== "coming" && said.text && (
          <span className="acts">
            <Copy text={said.text} />
            {!mine && <Speak text={said.text} />}
            {!mine && acts.rate && kept && <Rate said={said} rate={acts.rate} />}
            {!mine && redo && kept && <IconButton label={t("chat.redo")} onClick={() => redo(said)}><RotateCcw /></IconButton>}
            {!mine && branch && kept && <IconButton label={t("chat.branch")} onClick={() => branch(said)}><GitBranch /></IconButton>}
            {mine && edit && kept && !editing && <IconButton label={t("chat.edit")} onClick={() => setEditing(true)}><Pencil /></IconButton>}
          </span>
        )}
      </footer>
    </article>
  );
});

/** A message that is being changed; empty when nothing came of it. */
function Edit({ text, done }: { text: string; done: (text: string) => void }) {
  const t = useWords();
  const [given, setGiven] = useState(text);
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") done("");
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing && given.trim()) {
      event.preventDefault();
      done(given.trim());
    }
  };
  return (
    <div className="edit">
      <textarea value={given} rows={Math.min(10, given.split("\n").length + 1)} onChange={(e) => setGiven(e.target.value)} onKeyDown={key} aria-label={t("chat.edit")} autoFocus />
      <p className="hint">{t("chat.edit.text")}</p>
      <div className="row end">
        <Button onClick={() => done("")}>{t("app.cancel")}</Button>
        <Button kind="main" disabled={!given.trim()} onClick={() => done(given.trim())}>{t("chat.send")}</Button>
      </div>
    </div>
  );
}

/** Thumbs up and down; the same again takes it back. */
function Rate({ said, rate: keep }: { said: Said; rate: NonNullable<Acts["rate"]> }) {
  const t = useWords();
  const rating = said.rating ?? 0;
  const [told, setTold] = useState("");
  const rate = (given: number): void => {
    const next = given === rating ? 0 : given;
    const failed = (reason: unknown): void => setTold(reason instanceof Failure && reason.status === 404 ? t("app.absent") : String(reason));
    void keep(said.turn, next).then(() => setTold(next ? t("chat.rated") : ""), failed);
  };
  return (
    <>
      <IconButton label={t("chat.up")} aria-pressed={rating === 1} onClick={() => rate(1)}><ThumbsUp /></IconButton>
      <IconButton label={t("chat.down")} aria-pressed={rating === -1} onClick={() => rate(-1)}><ThumbsDown /></IconButton>
      <span className="hint" role="status">{told}</span>
    </>
  );
}

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
          {said.passages ? (
            said.passages.map((one, place) => (
              <details key={place} className="passage"><summary>{one.title}</summary><p>{one.text.length > LONG ? `${one.text.slice(0, LONG)}…` : one.text}</p></details>
            ))
          ) : (
            <ul>{said.sources.map((source) => <li key={source}>{source}</li>)}</ul>
          )}
        </details>
      )}
    </>
  );
}

/** A part that is not text. */
function Piece({ part }: { part: Part }) {
  if (part.type === "image" || part.type === "audio" || part.type === "file") return <Shown part={part} />;
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
  const loud = useRef(false);
  loud.current = speaking;
  useEffect(() => () => void (loud.current && speechSynthesis.cancel()), []);
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
