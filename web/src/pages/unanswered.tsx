import { useState } from "react";
import { call, path } from "../api";
import { Badge, Button, Empty, Page, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import { useWords } from "../words";

type Question = { id: string; text: string; texts?: string[]; count: number; bad?: number; intent: string; proposal: { kind: string; intent: string; confidence: number; patterns: string[] } };

/** Questions that were not answered, or badly; each becomes a rule by one word. */
export default function Unanswered() {
  const t = useWords();
  const { data, error, again } = useLoad<{ questions: Question[] }>("/api/unanswered");
  return (
    <Page title={t("unanswered.title")} text={t("unanswered.text")}>
      {Boolean(error) && <Absent error={error} again={again} />}
      {!data && !error && <Waiting />}
      {data?.questions.length === 0 && <Empty><p>{t("unanswered.none")}</p></Empty>}
      {data?.questions.map((one) => <Row key={one.id} one={one} again={again} />)}
    </Page>
  );
}

function Row({ one, again }: { one: Question; again: () => void }) {
  const t = useWords();
  const [intent, setIntent] = useState(one.proposal.intent);
  const [response, setResponse] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const decide = (action: string): void => void call(`/api/unanswered/${path(one.id)}/${action}`, "POST", action === "approve" ? { intent: intent.trim(), response: response.trim() } : {}).then(again, setRefused);
  const fresh = one.proposal.kind === "intent";
  return (
    <section className="card">
      <h2 className="row">{one.text} <Badge tone="fair">{t("unanswered.count", { n: one.count })}</Badge></h2>
      {one.texts && one.texts.length > 1 && <p className="hint">{one.texts.slice(1, 6).join(" · ")}</p>}
      <p>{fresh ? t("unanswered.fresh") : t("unanswered.pattern", { intent: one.proposal.intent, n: Math.round(100 * one.proposal.confidence) })}</p>
      <div className="line-form">
        <label className="field"><span>{t("unanswered.intent")}</span><input value={intent} onChange={(e) => setIntent(e.target.value)} maxLength={80} /></label>
        {fresh && <label className="field grow"><span>{t("unanswered.response")}</span><input value={response} onChange={(e) => setResponse(e.target.value)} maxLength={2000} /></label>}
        <Button kind="main" disabled={!intent.trim() || (fresh && !response.trim())} onClick={() => decide("approve")}>{t("unanswered.approve")}</Button>
        <Button onClick={() => decide("dismiss")}>{t("unanswered.dismiss")}</Button>
      </div>
      {Boolean(refused) && <Wrong error={refused} />}
    </section>
  );
}
