import { useState } from "react";
import type { Parcel } from "../api";
import { call, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Empty, Page, Sure, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords, when } from "../words";

const STATES = ["", "waiting", "sending", "sent", "dead", "stale", "dropped"] as const;
const TONES: Record<string, "good" | "fair" | "bad" | "plain"> = { sent: "good", dead: "bad", stale: "bad", waiting: "fair", sending: "fair" };
const EVERY = 4000;

export default function Outbox() {
  const t = useWords();
  const [state, setState] = useState("");
  const { data, error, again } = useLoad<{ parcels: Parcel[] }>(`/api/outbox?state=${state}`, EVERY);
  const [refused, setRefused] = useState<unknown>(null);
  const decide = (parcel: string, action: string): void => {
    setRefused(null);
    void call(`/api/outbox/${path(parcel)}/${action}`, "POST").then(again, setRefused);
  };
  const filter = (
    <label className="field side-by-side">
      <span>{t("outbox.state")}</span>
      <select value={state} onChange={(e) => setState(e.target.value)}>
        {STATES.map((one) => <option key={one} value={one}>{t(`outbox.${one || "all"}` as Key)}</option>)}
      </select>
    </label>
  );
  return (
    <Page title={t("outbox.title")} text={t("outbox.text")} action={filter}>
      {Boolean(error ?? refused) && <Wrong error={error ?? refused} again={again} />}
      {!data && !error && <Waiting />}
      {data?.parcels.length === 0 && <Empty><p>{t("outbox.none")}</p></Empty>}
      <ul className="rows">{data?.parcels.map((parcel) => <Row key={parcel.id} parcel={parcel} decide={decide} />)}</ul>
    </Page>
  );
}

function Row({ parcel, decide }: { parcel: Parcel; decide: (parcel: string, action: string) => void }) {
  const t = useWords();
  const chosen = useStore(language);
  const text = parcel.message.parts.map((part) => (part.type === "text" ? part.text : `[${part.type}]`)).join(" ");
  return (
    <li>
      <span className="grow">
        <strong className="clipped">{text}</strong>
        <span className="hint">
          {t("outbox.to")} {parcel.channel} · {parcel.target} · {when(parcel.message.at, chosen)}
          {parcel.attempts > 0 && ` · ${t("outbox.tries", { n: parcel.attempts })}`}
        </span>
        {parcel.error && <span className="hint bad">{parcel.error}</span>}
      </span>
      <Badge tone={TONES[parcel.state] ?? "plain"}>{t(`outbox.${parcel.state}` as Key)}</Badge>
      {(parcel.state === "dead" || parcel.state === "stale") && (
        <span className="row">
          <Button onClick={() => decide(parcel.id, "retry")}>{t("outbox.retry")}</Button>
          <Sure label={t("outbox.drop")} text={t("outbox.drop.sure")} onSure={() => decide(parcel.id, "drop")}>
            <Button kind="danger">{t("outbox.drop")}</Button>
          </Sure>
        </span>
      )}
    </li>
  );
}
