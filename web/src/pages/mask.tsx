import type { FormEvent } from "react";
import { useState } from "react";
import { call } from "../api";
import { Button, Wrong } from "../ui";
import type { Key } from "../words/en";
import { useWords } from "../words";
import type { Persona } from "./faces";

type Lore = { keys: string[]; text: string };
const FIELDS: [keyof Persona & string, Key, number, number][] = [
  ["description", "personas.character", 1200, 4],
  ["style", "personas.style", 600, 2],
  ["greeting", "personas.greeting", 600, 2],
  ["boundaries", "personas.boundaries", 600, 2],
];

/** A persona, written or changed. Its name stays: that is how conversations find it. */
export function Mask({ one, done, leave }: { one: Persona | null; done: () => void; leave: () => void }) {
  const t = useWords();
  const [text, setText] = useState<Record<string, string>>(() => filled(one));
  const [wrong, setWrong] = useState<unknown>(null);
  const set = (name: string, value: string): void => setText((old) => ({ ...old, [name]: value }));
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const bytes = new TextEncoder().encode(JSON.stringify(document(text, one)));
    void call("/api/personas", "POST", { file: base64(bytes), name: "persona.json" }).then(done, setWrong);
  };
  return (
    <form className="card stack" onSubmit={submit} aria-label={one ? t("personas.edit") : t("personas.new")}>
      <label className="field"><span>{t("personas.name")}</span><input value={text.title} onChange={(e) => set("title", e.target.value)} maxLength={60} required readOnly={Boolean(one)} autoFocus={!one} /></label>
      {FIELDS.map(([name, key, most, rows]) => (
        <label key={name} className="field"><span>{t(key)}</span><textarea value={text[name]} onChange={(e) => set(name, e.target.value)} maxLength={most} rows={rows} /></label>
      ))}
      <label className="field"><span>{t("personas.knowledge")}</span><textarea value={text.knowledge} onChange={(e) => set("knowledge", e.target.value)} rows={3} placeholder={t("personas.knowledge.hint")} /></label>
      <label className="field"><span>{t("personas.model")}</span><input value={text.model} onChange={(e) => set("model", e.target.value)} maxLength={200} /></label>
      <label className="field"><span>{t("personas.tools")}</span><input value={text.tools} onChange={(e) => set("tools", e.target.value)} placeholder={t("personas.tools.hint")} /></label>
      {Boolean(wrong) && <Wrong error={wrong} />}
      <div className="row end">
        <Button onClick={leave}>{t("app.cancel")}</Button>
        <Button kind="main" type="submit" disabled={!text.title?.trim()}>{t("personas.save")}</Button>
      </div>
    </form>
  );
}

function filled(one: Persona | null): Record<string, string> {
  const lore = one?.knowledge.map((note) => `${note.keys.join(", ")}: ${note.text.replaceAll("\n", " ")}`).join("\n") ?? "";
  const { title = "", description = "", style = "", greeting = "", boundaries = "", model = "" } = one ?? {};
  return { title, description, style, greeting, boundaries, model, knowledge: lore, tools: one?.tools.join(", ") ?? "" };
}

/** The document of a persona as the server keeps it. What is empty is left out. */
export function document(text: Record<string, string>, one: Persona | null): Record<string, unknown> {
  const { title, description, style, greeting, boundaries, model } = text;
  const said = { name: title?.trim(), character: description, style, greeting, boundaries, model, avatar: one?.avatar, voice: one?.voice };
  const kept = Object.entries(said).filter(([, value]) => value);
  return { ...Object.fromEntries(kept), tools: listed(text.tools ?? ""), knowledge: lores(text.knowledge ?? "") };
}

/** A line for each piece: the words that bring it up, a colon, and what is known. */
export function lores(text: string): Lore[] {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const [head = "", ...rest] = line.split(/[:：]/);
    return { keys: listed(head), text: rest.join(":").trim() };
  });
}

const listed = (text: string): string[] => text.split(/[,，]/).map((one) => one.trim()).filter(Boolean);

/** Bytes in base 64, in pieces that fit a call. */
export function base64(raw: Uint8Array): string {
  let text = "";
  for (let at = 0; at < raw.length; at += 0x8000) text += String.fromCharCode(...raw.subarray(at, at + 0x8000));
  return btoa(text);
}
