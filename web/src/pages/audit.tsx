import { useEffect, useRef, useState } from "react";
import { call } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Page, Waiting } from "../ui";
import { Absent } from "../ui/load";
import { useWords, when } from "../words";

type Entry = { number: number; at: number; hash: string; act: { name: string; actor: string; subject: string; origin: string; outcome: string; detail: Record<string, string> } };
type Checked = { last: number; fault: string; whole: boolean };

const PAGE = 50;
const STRETCH = 10_000;

/** The audit log, latest first, with its chain reckoned again in this visit. */
export default function Audit() {
  const t = useWords();
  const chosen = useStore(language);
  const [checked, setChecked] = useState<Checked | null>(null);
  const [entries, setEntries] = useState<Entry[] | null>(null);
  const [first, setFirst] = useState(0);
  const [error, setError] = useState<unknown>(null);
  const [query, setQuery] = useState("");
  const round = useRef(0);
  const reading = useRef(-1);
  const read = async (end: number): Promise<void> => {
    const mine = round.current;
    if (reading.current === end) return;
    reading.current = end;
    const begin = Math.max(0, end - PAGE);
    const told = await call<{ entries: Entry[] }>(`/api/audit?after=${begin}&limit=${Math.max(1, end - begin)}`);
    if (mine !== round.current) return;
    setEntries((old) => [...(old ?? []), ...told.entries.reverse()]);
    setFirst(begin);
  };
  const verify = async (): Promise<void> => {
    const mine = ++round.current;
    reading.current = -1;
    setChecked(null);
    setEntries(null);
    setError(null);
    try {
      const found = await chain();
      if (mine !== round.current) return;
      setChecked(found);
      await read(found.last);
    } catch (reason) {
      if (mine === round.current) setError(reason);
    }
  };
  useEffect(() => void verify(), []);
  const wanted = query.trim().toLowerCase();
  const shown = entries?.filter((one) => !wanted || `${one.act.name} ${one.act.actor} ${one.act.subject} ${Object.values(one.act.detail).join(" ")}`.toLowerCase().includes(wanted));
  return (
    <Page title={t("audit.title")} text={t("audit.text")} action={<Button onClick={() => void verify()}>{t("audit.verify")}</Button>}>
      {Boolean(error) && <Absent error={error} again={() => void verify()} />}
      {!checked && !error && <Waiting />}
      {checked && <p className="row" role="status"><Badge tone={checked.fault ? "bad" : "good"}>{checked.fault ? t("audit.broken", { fault: checked.fault }) : t("audit.good", { n: checked.last })}</Badge></p>}
      <input className="find" type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("audit.find")} aria-label={t("audit.find")} />
      <ul className="rows">
        {shown?.map((one) => (
          <li key={one.number}>
            <span className="grow">
              <strong>{one.act.name} {one.act.subject && <code>{one.act.subject}</code>}</strong>
              <span className="hint">#{one.number} · {when(one.at, chosen)} · {one.act.actor || "–"} · {one.act.origin}</span>
              {Object.keys(one.act.detail).length > 0 && <span className="hint">{Object.entries(one.act.detail).map(([key, value]) => `${key}: ${value}`).join(" · ")}</span>}
            </span>
            {one.act.outcome !== "done" && <Badge tone="bad">{t("audit.refused")}</Badge>}
          </li>
        ))}
      </ul>
      {first > 0 && entries && <Button onClick={() => void read(first).catch((reason: unknown) => ((reading.current = -1), setError(reason)))}>{t("audit.older")}</Button>}
    </Page>
  );
}

/** Reckon the whole chain again, stretch by stretch. */
async function chain(): Promise<Checked> {
  let last = 0;
  for (;;) {
    const told = await call<{ last: number; fault: string }>(`/api/audit/verify?after=${last}&limit=${STRETCH}`);
    if (told.fault || told.last - last < STRETCH) return { ...told, whole: true };
    last = told.last;
  }
}
