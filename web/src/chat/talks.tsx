import { MessageCirclePlus, Search } from "lucide-react";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import type { Talked } from "../api";
import { call, path } from "../api";
import { theTalk } from "../house";
import { language } from "../prefs";
import { useStore } from "../store";
import { IconButton } from "../ui";
import { useWords, when } from "../words";

const PAUSE = 250;

/** The conversations, and the search through them. */
export function Talks() {
  const t = useWords();
  const talk = theTalk();
  const all = useStore(talk.list);
  const [, go] = useLocation();
  const [query, setQuery] = useState("");
  const found = useFound(query.trim());
  useEffect(() => void talk.refresh(), [talk]);
  const shown = query.trim() ? found : all;
  return (
    <section className="talks" aria-label={t("talks.title")}>
      <div className="talks-head">
        <label className="search">
          <Search aria-hidden />
          <input type="search" value={query} onChange={(e) => setQuery(e.target.value)} placeholder={t("talks.search")} aria-label={t("talks.search")} maxLength={200} />
        </label>
        <IconButton label={t("talks.new")} className="fresh" onClick={() => go(`/c/${crypto.randomUUID().slice(0, 8)}`)}>
          <MessageCirclePlus />
        </IconButton>
      </div>
      <ul role="list">
        {shown?.map((one) => <Row key={one.id} one={one} />)}
        {shown?.length === 0 && <li className="hint">{t(query ? "talks.nothing" : "talks.none")}</li>}
      </ul>
    </section>
  );
}

function useFound(query: string): Talked[] | null {
  const [found, setFound] = useState<Talked[] | null>(null);
  useEffect(() => {
    setFound(null);
    if (!query) return;
    let wanted = true;
    const ask = (): void =>
      void call<{ conversations: Talked[] }>(`/api/history?q=${path(query)}`).then(
        (told) => wanted && setFound(told.conversations),
        () => wanted && setFound([]),
      );
    const timer = setTimeout(ask, PAUSE);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [query]);
  return found;
}

function Row({ one }: { one: Talked }) {
  const t = useWords();
  const chosen = useStore(language);
  const [place] = useLocation();
  const to = one.name ? `/c/${path(one.name)}` : `/h/${path(one.id)}`;
  return (
    <li>
      <Link href={to} className="talk" aria-current={place === to ? "page" : undefined}>
        <span className="talk-title">{one.title.replace(/[*`#>$]+/g, "").trim() || t("talks.untitled")}</span>
        <span className="talk-note">
          {one.name ? "" : `${one.channel} · `}
          {when(one.updated, chosen)}
        </span>
        {one.excerpt && <span className="talk-note">{one.excerpt}</span>}
      </Link>
    </li>
  );
}
