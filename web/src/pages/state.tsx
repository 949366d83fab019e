import type { State } from "../api";
import { me } from "../api";
import { useStore } from "../store";
import { Badge, Page, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import type { Key } from "../words/en";
import { useWords } from "../words";
import { Live } from "./figures";

const EVERY = 3000;
const TONES: Record<string, "good" | "fair" | "bad" | "plain"> = {
  ready: "good", idle: "plain", starting: "fair", degraded: "fair", failed: "bad", stopped: "plain",
};
const GROUPS: [Key, string][] = [["state.house", ""], ["state.channels", "channel:"], ["state.models", "model:"]];

const PARTS: Record<string, Key> = { dialogue: "state.dialogue", outbox: "state.outbox", storage: "state.storage", knowledge: "state.knowledge", plugins: "state.plugins", security: "state.security" };

export function Condition({ name }: { name: string }) {
  const t = useWords();
  return <Badge tone={TONES[name] ?? "plain"}>{name in TONES ? t(`condition.${name}` as Key) : name}</Badge>;
}

export default function Health() {
  const t = useWords();
  const who = useStore(me);
  const { data, error, again } = useLoad<State>("/api/state", EVERY);
  return (
    <Page title={t("state.title")} text={t("state.text")}>
      {Boolean(error) && <Wrong error={error} again={again} />}
      {!data && !error && <Waiting />}
      {data && <p className="row"><Badge tone={data.ready ? "good" : "bad"}>{t(data.ready ? "state.ready" : "state.unready")}</Badge></p>}
      {(who?.role === "owner" || who?.role === "admin") && <Live />}
      {data && GROUPS.map(([key, prefix]) => <Group key={key} title={t(key)} prefix={prefix} state={data} />)}
    </Page>
  );
}

function Group({ title, prefix, state }: { title: string; prefix: string; state: State }) {
  const t = useWords();
  const others = GROUPS.map(([, known]) => known).filter((known) => known && known !== prefix);
  const rows = Object.entries(state.components).filter(([name]) =>
    prefix ? name.startsWith(prefix) : !others.some((other) => name.startsWith(other)),
  );
  if (rows.length === 0) return null;
  return (
    <section className="group">
      <h2>{title}</h2>
      <ul className="rows">
        {rows.map(([name, report]) => (
          <li key={name}>
            <span className="grow"><strong>{PARTS[name] ? t(PARTS[name]) : name.slice(prefix.length)}</strong>{report.detail && <span className="hint">{report.detail}</span>}</span>
            {report.required && <span className="hint">{t("state.required")}</span>}
            <Condition name={report.condition} />
          </li>
        ))}
      </ul>
    </section>
  );
}
