import { ArrowUp, Square } from "lucide-react";
import type { DragEvent, KeyboardEvent, Ref } from "react";
import { useImperativeHandle, useLayoutEffect, useRef, useState } from "react";
import { kept, keep } from "../store";
import { IconButton } from "../ui";
import { useLoad } from "../ui/load";
import { useWords } from "../words";

const LARGEST = 200 * 1024;

export type Pen = { write: (text: string) => void };
type Props = { busy: boolean; say: (text: string, model: string) => void; stop: () => void; pen: Ref<Pen> };

/** Where a message is written. */
export function Composer({ busy, say, stop, pen }: Props) {
  const t = useWords();
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState("");
  const [note, setNote] = useState("");
  const [model, setModel] = useState(kept("session", "model"));
  useLayoutEffect(() => {
    const here = field.current;
    if (!here) return;
    here.style.height = "auto";
    here.style.height = `${Math.min(here.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);
  useImperativeHandle(pen, () => ({ write: (given) => (setText(given), field.current?.focus()) }), []);
  const send = (): void => {
    if (!text.trim()) return;
    say(text.trim(), model);
    setText("");
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
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (!file) return;
    void read(file).then((found) => (setText((old) => `${old}${old && "\n"}${found}`), setNote("")), () => setNote(t("chat.drop.wrong")));
  };
  const choose = (name: string): void => {
    setModel(name);
    keep("session", "model", name);
  };
  return (
    <form className="composer" onSubmit={(event) => (event.preventDefault(), send())} onDrop={drop} onDragOver={(event) => event.preventDefault()}>
      <textarea ref={field} rows={1} value={text} onChange={(e) => setText(e.target.value)} onKeyDown={key} placeholder={t("chat.write")} aria-label={t("chat.write")} enterKeyHint="send" />
      <div className="composer-foot">
        <Choice model={model} choose={choose} />
        <span className="hint keys">{note || t("chat.keys")}</span>
        {busy && <IconButton label={t("chat.stop")} className="send" onClick={stop}><Square /></IconButton>}
        {(!busy || text.trim()) && <IconButton label={t("chat.send")} type="submit" className="send" disabled={!text.trim()}><ArrowUp /></IconButton>}
      </div>
    </form>
  );
}

function Choice({ model, choose }: { model: string; choose: (name: string) => void }) {
  const t = useWords();
  const { data } = useLoad<{ models: { name: string; kind: string }[] }>("/api/models");
  const names = data?.models.filter((one) => one.kind === "chat").map((one) => one.name) ?? [];
  if (names.length === 0) return null;
  return (
    <select className="choice" value={names.includes(model) ? model : ""} onChange={(e) => choose(e.target.value)} aria-label={t("chat.model")}>
      <option value="">{t("chat.model.auto")}</option>
      {names.map((name) => <option key={name}>{name}</option>)}
    </select>
  );
}

/** A text file as a fenced block. Throws for what is too large or no text. */
async function read(file: File): Promise<string> {
  if (file.size > LARGEST) throw new RangeError("too large");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  if (text.includes("\0")) throw new TypeError("not a text");
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map((found) => found[0].length + 1)));
  return `${file.name}\n${fence}\n${text.trimEnd()}\n${fence}\n`;
}
