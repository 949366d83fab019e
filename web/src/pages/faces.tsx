import { useState } from "react";
import { call, path } from "../api";
import { Badge, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import type { Words } from "../words";
import { useWords } from "../words";
import type { Key } from "../words/en";
import { en } from "../words/en";

export type Persona = { name: string; title: string; description: string; greeting: string; style: string; boundaries: string; model: string; voice: string; tools: string[]; knowledge: { keys: string[]; text: string }[]; avatar: string; builtin: boolean };

/** The personas, to choose the one that answers where nobody chose another. */
export function Faces() {
  const t = useWords();
  const { data, error, again } = useLoad<{ personas: Persona[]; default: string }>("/api/personas");
  const [refused, setRefused] = useState<unknown>(null);
  if (error) return <Absent error={error} again={again} />;
  const choose = (name: string): void => void call("/api/personas/default", "PUT", { name }).then(again, setRefused);
  return (
    <>
      {Boolean(refused) && <Wrong error={refused} />}
      <div className="faces" role="radiogroup" aria-label={t("welcome.persona")}>
        {data?.personas.map((one) => (
          <button key={one.name} type="button" role="radio" aria-checked={one.name === data.default} className="face" onClick={() => choose(one.name)}>
            <Portrait persona={one} />
            <strong>{one.title || one.name}</strong>
            <span className="hint">{told(one, t).description}</span>
            {one.name === data.default && <Badge tone="good">{t("personas.default")}</Badge>}
          </button>
        ))}
      </div>
    </>
  );
}

/** The persona that Kith comes with speaks the reader's language; whatever a household wrote stays as it is. */
export function told(one: Persona, t: Words): Pick<Persona, "description" | "style"> {
  const here = (text: string, key: Key): string => (one.builtin && text === en[key] ? t(key) : text);
  return { description: here(one.description, "personas.kith.character"), style: here(one.style, "personas.kith.style") };
}

/** A persona's picture, or the first letter of its name. */
export function Portrait({ persona }: { persona: Persona }) {
  if (persona.avatar === "avatar.png") return <img className="portrait" src={`/api/personas/${path(persona.name)}/picture`} alt="" width="48" height="48" />;
  const short = persona.avatar && [...persona.avatar].length <= 2 ? persona.avatar : [...(persona.title || persona.name)][0];
  return <span className="portrait" aria-hidden>{short}</span>;
}
