import { useLocation } from "wouter";
import type { Model } from "../api";
import { keep } from "../store";
import { Button, Command, Empty, Page, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords } from "../words";
import { Condition } from "./state";

const EVERY = 5000;

export default function Models() {
  const t = useWords();
  const { data, error, again } = useLoad<{ models: Model[] }>("/api/models", EVERY);
  return (
    <Page title={t("models.title")} text={t("models.text")}>
      {Boolean(error) && <Wrong error={error} again={again} />}
      {!data && !error && <Waiting />}
      {data?.models.length === 0 && <Empty><p>{t("models.none")}</p></Empty>}
      <div className="cards">{data?.models.map((model) => <Card key={model.name} model={model} />)}</div>
      {data && <><p>{t("models.add")}</p><Command text="kith models add hf:OWNER/REPOSITORY/FILE.gguf" /></>}
    </Page>
  );
}

function Card({ model }: { model: Model }) {
  const t = useWords();
  const [, go] = useLocation();
  const facts: [Key, string][] = [
    ["models.kind", `${model.kind} · ${model.backend}`],
    ["models.context", model.context ? t("models.tokens", { n: model.context.toLocaleString() }) : ""],
    ["models.parameters", model.parameters ? short(model.parameters) : ""],
    ["models.quantisation", model.quantisation],
    ["models.memory", model.memory ? `${(model.memory / 2 ** 30).toFixed(1)} GiB` : ""],
    ["models.licence", model.licence],
  ];
  const talk = (): void => {
    keep("session", "model", model.name);
    go("/c/main");
  };
  return (
    <section className="card">
      <h2 className="row">{model.name} <Condition name={model.condition} /></h2>
      <dl>
        {facts.filter(([, value]) => value).map(([key, value]) => (
          <div key={key}><dt>{t(key)}</dt><dd>{value}</dd></div>
        ))}
      </dl>
      {model.detail && <p className="hint">{model.detail}</p>}
      {model.kind === "chat" && <Button onClick={talk}>{t("models.use")}</Button>}
    </section>
  );
}

function short(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} B` : `${Math.round(count / 1e6)} M`;
}
