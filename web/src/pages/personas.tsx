import { useRef, useState } from "react";
import { call, me, path } from "../api";
import { useStore } from "../store";
import { Badge, Button, Page, Sure, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import { useWords } from "../words";
import type { Persona } from "./faces";
import { Portrait, told } from "./faces";
import { base64, Mask } from "./mask";

const LARGEST = 5 * 2 ** 20;

/** The personas: looked at, written, imported from a card, changed, made the default, removed. */
export default function Personas() {
  const t = useWords();
  const who = useStore(me);
  const trusted = who?.role === "owner" || who?.role === "admin";
  const { data, error, again } = useLoad<{ personas: Persona[]; default: string }>("/api/personas");
  const [refused, setRefused] = useState<unknown>(null);
  const [open, setOpen] = useState<Persona | "new" | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  const act = (work: Promise<unknown>): void => void work.then(() => (setRefused(null), again()), setRefused);
  const take = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    if (file.size > LARGEST) return setRefused(new Error(t("personas.large")));
    act(call("/api/personas", "POST", { file: base64(new Uint8Array(await file.arrayBuffer())), name: file.name }));
  };
  const action = trusted && data && (
    <div className="row">
      <Button kind="main" onClick={() => setOpen("new")}>{t("personas.new")}</Button>
      <Button onClick={() => picker.current?.click()}>{t("personas.import")}</Button>
      <input ref={picker} type="file" accept=".png,.json,.yaml,.yml" hidden onChange={(e) => (void take(e.target.files?.[0]), (e.target.value = ""))} />
    </div>
  );
  return (
    <Page title={t("personas.title")} text={t("personas.text")} action={action}>
      {Boolean(error) && <Absent error={error} again={again} />}
      {Boolean(refused) && <Wrong error={refused} />}
      {!data && !error && <Waiting />}
      {open && <Mask key={open === "new" ? "" : open.name} one={open === "new" ? null : open} done={() => (setOpen(null), again())} leave={() => setOpen(null)} />}
      <div className="cards">
        {data?.personas.map((one) => (
          <section key={one.name} className="card">
            <h2 className="row"><Portrait persona={one} /> {one.title || one.name} {one.name === data.default && <Badge tone="good">{t("personas.default")}</Badge>}</h2>
            {one.description && <p>{told(one, t).description}</p>}
            {one.greeting && <blockquote className="quote">{one.greeting}</blockquote>}
            {one.style && <p className="hint">{told(one, t).style}</p>}
            {trusted && (
              <div className="row">
                {one.name !== data.default && <Button onClick={() => act(call("/api/personas/default", "PUT", { name: one.name }))}>{t("personas.choose")}</Button>}
                {!one.builtin && <Button onClick={() => setOpen(one)}>{t("personas.edit")}</Button>}
                {!one.builtin && (
                  <Sure label={t("personas.remove")} text={t("personas.remove.sure", { name: one.title || one.name })} onSure={() => act(call(`/api/personas/${path(one.name)}`, "DELETE"))}>
                    <Button kind="danger">{t("personas.remove")}</Button>
                  </Sure>
                )}
              </div>
            )}
          </section>
        ))}
      </div>
      {data && <p className="hint">{t("personas.cards")}</p>}
    </Page>
  );
}
