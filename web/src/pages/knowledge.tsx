import { Search } from "lucide-react";
import { useEffect, useState } from "react";
import { path } from "../api";
import { Markdown } from "../markdown";
import { language } from "../prefs";
import { useStore } from "../store";
import { Empty, Page, Waiting } from "../ui";
import { Absent, useLoad } from "../ui/load";
import { useWords } from "../words";

type Passage = { text: string; source: string; score: number; title: string };

/** What Kith knows, searched as it searches itself. */
export default function Knowledge() {
  const t = useWords();
  const [query, setQuery] = useState("");
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(query.trim()), 300);
    return () => clearTimeout(timer);
  }, [query]);
  return (
    <Page title={t("knowledge.title")} text={t("knowledge.text")}>
      <label className="search big">
        <Search aria-hidden />
        <input type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("knowledge.find")} aria-label={t("knowledge.find")} maxLength={500} />
      </label>
      {asked ? <Found query={asked} /> : <Empty><p>{t("knowledge.empty")}</p></Empty>}
    </Page>
  );
}

function Found({ query }: { query: string }) {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again } = useLoad<{ passages: Passage[] }>(`/api/knowledge?q=${path(query)}&locale=${chosen}&limit=8`);
  if (error) return <Absent error={error} again={again} />;
  if (!data) return <Waiting />;
  if (data.passages.length === 0) return <Empty><p>{t("talks.nothing")}</p></Empty>;
  return data.passages.map((one, place) => (
    <article key={place} className="card">
      <h2>{one.title || one.source}</h2>
      <Markdown text={one.text} />
      <p className="hint">{one.source}</p>
    </article>
  ));
}
