import type { FormEvent } from "react";
import { useState } from "react";
import { call, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords } from "../words";

export type Advice = { parameters: number; quantisation: string; memory: number; speed: number; text: string[]; machine: { memory: number; disk: number; cores: number } };
type Coming = { id: string; source: string; name: string; state: string; done: number; total: number; version: string; error: string; code: string };

const EVERY = 1000;
const TONES: Record<string, "good" | "fair" | "bad" | "plain"> = { done: "good", fetching: "fair", checking: "fair", failed: "bad", cancelled: "plain" };

export const bytes = (size: number): string => (size >= 2 ** 30 ? `${(size / 2 ** 30).toFixed(1)} GiB` : `${Math.round(size / 2 ** 20)} MiB`);

/** What the house says of this machine, and which model suits it. */
export function Suggestion() {
  const t = useWords();
  const chosen = useStore(language);
  const { data } = useLoad<Advice>(`/api/advice?locale=${chosen}`);
  if (!data) return null;
  return (
    <div className="advice">
      <p><strong>{data.parameters ? t("welcome.model.advice", { parameters: data.parameters, quantisation: data.quantisation }) : t("welcome.model.none")}</strong></p>
      <ul>{data.text.map((one) => <li key={one}>{one}</li>)}</ul>
    </div>
  );
}

/** Fetches a model, and shows what is on its way. */
export function Fetch({ arrived }: { arrived: () => void }) {
  const t = useWords();
  const { data, again } = useLoad<{ downloads: Coming[] }>("/api/models/downloads", EVERY);
  const [source, setSource] = useState("");
  const [name, setName] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const begin = (event: FormEvent): void => {
    event.preventDefault();
    setRefused(null);
    void call("/api/models/downloads", "POST", { source: source.trim(), name: name.trim() }).then(() => (setSource(""), setName(""), again()), setRefused);
  };
  const cancel = (id: string): void => void call(`/api/models/downloads/${path(id)}`, "DELETE").then(again, setRefused);
  return (
    <>
      <form className="card line-form" onSubmit={begin}>
        <label className="field grow"><span>{t("fetch.source")}</span>
          <input value={source} onChange={(e) => setSource(e.target.value)} placeholder="hf:OWNER/REPOSITORY/FILE.gguf" maxLength={2000} spellCheck={false} autoCapitalize="off" required />
        </label>
        <label className="field"><span>{t("fetch.name")}</span>
          <input value={name} onChange={(e) => setName(e.target.value)} maxLength={80} pattern="[\w.\-]*" spellCheck={false} />
        </label>
        <Button kind="main" type="submit" disabled={!source.trim()}>{t("fetch.begin")}</Button>
        <p className="hint wide">{t("fetch.help")}</p>
      </form>
      {Boolean(refused) && <Wrong error={refused} />}
      {data && data.downloads.length > 0 && (
        <ul className="rows" aria-label={t("fetch.coming")}>
          {data.downloads.map((one) => <Row key={one.id} one={one} cancel={cancel} arrived={arrived} />)}
        </ul>
      )}
    </>
  );
}

function Row({ one, cancel, arrived }: { one: Coming; cancel: (id: string) => void; arrived: () => void }) {
  const t = useWords();
  const [told, setTold] = useState(one.state);
  if (told !== one.state) {
    setTold(one.state);
    if (one.state === "done") setTimeout(arrived);
  }
  const running = one.state === "fetching" || one.state === "checking";
  const label = one.total ? `${bytes(one.done)} / ${bytes(one.total)}` : one.done ? bytes(one.done) : "";
  return (
    <li>
      <span className="grow">
        <strong>{one.name}</strong>
        <span className="hint">{one.source}</span>
        {running && <progress value={one.total ? one.done : undefined} max={one.total || undefined} aria-label={`${one.name} ${label}`} />}
        {label && <span className="hint">{label}</span>}
        {one.error && <span className="hint bad">{one.error}</span>}
      </span>
      <Badge tone={TONES[one.state] ?? "plain"}>{t(`fetch.${one.state}` as Key)}</Badge>
      {running && <Button onClick={() => cancel(one.id)}>{t("app.cancel")}</Button>}
    </li>
  );
}
