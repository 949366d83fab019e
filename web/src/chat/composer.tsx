import { ArrowUp, Paperclip, Square, X } from "lucide-react";
import type { ClipboardEvent, DragEvent, KeyboardEvent, Ref } from "react";
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "react";
import type { Media } from "../api";
import { theTalk } from "../house";
import { kept, keep } from "../store";
import { IconButton } from "../ui";
import { useLoad } from "../ui/load";
import { useWords } from "../words";
import { bring } from "./media";
import { Voices } from "./persona";
import { Voice } from "./voice";

const LARGEST = 200 * 1024;
const MOST = 10;

export type Pen = { write: (text: string) => void };
type Props = { name: string; busy: boolean; say: (text: string, model: string, parts: Media[]) => void; stop: () => void; pen: Ref<Pen> };
type Listed = { models: { name: string; kind: string; capabilities: string[] }[] };

/** Where a message is written. */
export function Composer({ name, busy, say, stop, pen }: Props) {
  const t = useWords();
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const { data } = useLoad<Listed>("/api/models");
  const { drafts } = theTalk();
  const [text, setText] = useState(drafts.get(name)?.text ?? "");
  const [note, setNote] = useState("");
  const [over, setOver] = useState(false);
  const [parts, setParts] = useState<Media[]>(drafts.get(name)?.parts ?? []);
  const [coming, setComing] = useState(0);
  const [model, setModel] = useState(kept("session", "model"));
  // What is still on its way belongs to this message, not to the next one.
  const ready = coming === 0 && (Boolean(text.trim()) || parts.length > 0);
  useEffect(() => {
    if (text || parts.length > 0) drafts.set(name, { text, parts });
    else drafts.delete(name);
  }, [drafts, name, text, parts]);
  useLayoutEffect(() => {
    const here = field.current;
    if (!here) return;
    here.style.height = "auto";
    here.style.height = `${Math.min(here.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);
  useImperativeHandle(pen, () => ({ write: (given) => (setText(given), field.current?.focus()) }), []);
  const send = (): void => {
    if (!ready) return;
    say(text.trim(), model, parts);
    setText("");
    setParts([]);
    setNote("");
  };
  const key = (event: KeyboardEvent): void => {
    // While Chinese is being composed, Enter takes the word and sends nothing.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
    if (event.key === "Escape" && busy) stop();
  };
  const take = async (files: Iterable<File>): Promise<void> => {
    setNote("");
    for (const file of [...files].slice(0, MOST)) {
      try {
        const found = await read(file);
        if (found) setText((old) => `${old}${old && "\n"}${found}`);
        else await add(file, file.name);
      } catch (error) {
        setNote(error instanceof Error ? error.message : String(error));
      }
    }
  };
  const add = async (file: Blob, title: string): Promise<void> => {
    setComing((count) => count + 1);
    try {
      const part = await bring(file, title);
      setParts((old) => [...old, part].slice(0, MOST));
      setNote(unread(part, data));
    } finally {
      setComing((count) => count - 1);
    }
  };
  const unread = (part: Media, listed: Listed | null): string => {
    const can = (skill: string): boolean => Boolean(listed?.models.some((one) => one.kind === skill || one.capabilities.includes(skill)));
    if (part.type === "image" && !can("vision")) return t("chat.part.blind");
    if (part.type === "audio" && !can("asr") && !can("speech")) return t("chat.part.deaf");
    return "";
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer.files);
  };
  const paste = (event: ClipboardEvent): void => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    void take(event.clipboardData.files);
  };
  const choose = (chosen: string): void => {
    setModel(chosen);
    keep("session", "model", chosen);
  };
  return (
    <form className={over ? "composer over" : "composer"} onSubmit={(event) => (event.preventDefault(), send())} onDrop={drop} onDragOver={(event) => (event.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)}>
      {parts.length > 0 && <Brought parts={parts} remove={(at) => setParts((old) => old.filter((_, place) => place !== at))} />}
      {(note || coming > 0) && <p className="note" role="status">{coming > 0 ? t("chat.part.coming") : note}</p>}
      <textarea ref={field} rows={1} value={text} onChange={(e) => setText(e.target.value)} onKeyDown={key} onPaste={paste} placeholder={t("chat.write")} aria-label={t("chat.write")} enterKeyHint="send" />
      <div className="composer-foot">
        <IconButton label={t("chat.attach")} onClick={() => picker.current?.click()}><Paperclip /></IconButton>
        <input ref={picker} type="file" multiple hidden onChange={(e) => (void take(e.target.files ?? []), (e.target.value = ""))} />
        <Voice heard={(sound, title) => void add(sound, title).catch((error: unknown) => setNote(String(error)))} wrong={setNote} />
        <Voices name={name} />
        <Choice listed={data} model={model} choose={choose} />
        <span className="hint keys">{t("chat.keys")}</span>
        {busy && <IconButton label={t("chat.stop")} className="send" onClick={stop}><Square /></IconButton>}
        {(!busy || ready) && <IconButton label={t("chat.send")} type="submit" className="send" disabled={!ready}><ArrowUp /></IconButton>}
      </div>
    </form>
  );
}

function Brought({ parts, remove }: { parts: Media[]; remove: (place: number) => void }) {
  const t = useWords();
  return (
    <ul className="brought" aria-label={t("chat.attached")}>
      {parts.map((part, place) => (
        <li key={part.blob}>
          {part.type === "image" && <img src={`/api/blobs/${part.blob}`} alt="" width="36" height="36" />}
          <span>{part.name || t(`chat.part.${part.type}`)}</span>
          <IconButton label={`${t("chat.detach")}: ${part.name}`} onClick={() => remove(place)}><X /></IconButton>
        </li>
      ))}
    </ul>
  );
}

function Choice({ listed, model, choose }: { listed: Listed | null; model: string; choose: (name: string) => void }) {
  const t = useWords();
  const names = listed?.models.filter((one) => one.kind === "chat").map((one) => one.name) ?? [];
  if (names.length === 0) return null;
  return (
    <select className="choice" value={names.includes(model) ? model : ""} onChange={(e) => choose(e.target.value)} aria-label={t("chat.model")}>
      <option value="">{t("chat.model.auto")}</option>
      {names.map((name) => <option key={name}>{name}</option>)}
    </select>
  );
}

/** A small text file as a fenced block; empty for what is too large or no text. */
async function read(file: File): Promise<string> {
  if (file.size > LARGEST || /^(image|audio|video)\//.test(file.type)) return "";
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return "";
  }
  if (text.includes("\0") || !text.trim()) return "";
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map((found) => found[0].length + 1)));
  return `${file.name}\n${fence}\n${text.trimEnd()}\n${fence}\n`;
}
