import type { RefObject } from "react";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Turn } from "../api";
import { call, path } from "../api";
import { remembered } from "../talk";
import { Button, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import { useWords } from "../words";
import { Message } from "./said";

const NOTHING = {};
const PAGE = 200;

type Told = { turns: Turn[] };

/** What is known with the latest page behind it; where the two do not meet, the page alone. */
export function joined(known: Turn[], latest: Turn[]): Turn[] {
  const place = known.findIndex((turn) => turn.id === latest[0]?.id);
  return place < 0 ? latest : [...known.slice(0, place), ...latest];
}

/** A conversation of another place, to be read: its last turns, and those before them page by page. */
export function Archive({ id }: { id: string }) {
  const t = useWords();
  const place = useRef<HTMLDivElement>(null);
  const { turns, earlier, error, refused, fetching, again, fetch } = usePast(id);
  const said = useMemo(() => turns?.flatMap(remembered) ?? [], [turns]);
  useSteady(place, said[0]?.id ?? "");
  const ask = (): void => void fetch().then((more) => more || place.current?.focus());
  return (
    <section className="chat" aria-label={t("chat.label")}>
      <div className="scroll" ref={place} tabIndex={0} role="log" aria-label={t("chat.label")} aria-live="off">
        {!turns && !error && <Waiting />}
        {Boolean(error) && <Wrong error={error} again={again} />}
        {Boolean(refused) && <Wrong error={refused} />}
        {earlier && <p className="column earlier"><Button aria-disabled={fetching} onClick={ask}>{t("chat.earlier")}</Button></p>}
        <div className="column">{said.map((one) => <Message key={one.id} said={one} acts={NOTHING} />)}</div>
      </div>
      <p className="column foot hint">{t("chat.read")}</p>
    </section>
  );
}

/** The turns of a conversation as far as they were fetched; `fetch` tells whether there may be more. */
function usePast(id: string) {
  const route = `/api/conversations/${path(id)}/turns?limit=${PAGE}`;
  const { data, error, again } = useLoad<Told>(route, 5000);
  const [past, setPast] = useState<{ turns: Turn[]; more: boolean } | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const [fetching, setFetching] = useState(false);
  useEffect(() => {
    if (!data) return;
    setPast((old) => {
      const turns = joined(old?.turns ?? [], data.turns);
      return { turns, more: old && turns[0]?.id === old.turns[0]?.id ? old.more : data.turns.length === PAGE };
    });
  }, [data]);
  const fetch = async (): Promise<boolean> => {
    const first = past?.turns[0]?.id;
    if (!first || fetching) return true;
    setFetching(true);
    setRefused(null);
    try {
      const { turns } = await call<Told>(`${route}&before=${path(first)}`);
      // What came meanwhile may have put another page in the place of this one.
      setPast((old) => (old?.turns[0]?.id === first ? { turns: [...turns, ...old.turns], more: turns.length === PAGE } : old));
      return turns.length === PAGE;
    } catch (reason) {
      setRefused(reason);
      return true;
    } finally {
      setFetching(false);
    }
  };
  return { turns: past?.turns, earlier: past?.more ?? false, error, refused, fetching, again, fetch };
}

/** What is being read stays where it is when something comes before it. */
function useSteady(place: RefObject<HTMLDivElement | null>, first: string): void {
  const seen = useRef(first);
  const rest = seen.current && seen.current !== first && place.current ? place.current.scrollHeight - place.current.scrollTop : 0;
  useLayoutEffect(() => {
    if (rest && seen.current !== first) place.current?.scrollTo({ top: place.current.scrollHeight - rest });
    seen.current = first;
  }, [first]);
}
