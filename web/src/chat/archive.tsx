import { useMemo } from "react";
import type { Turn } from "../api";
import { path } from "../api";
import { remembered } from "../talk";
import { Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import { useWords } from "../words";
import { Message } from "./said";

const NOTHING = {};

/** A conversation of another place, to be read. */
export function Archive({ id }: { id: string }) {
  const t = useWords();
  const { data, error, again } = useLoad<{ turns: Turn[] }>(`/api/conversations/${path(id)}/turns?limit=200`, 5000);
  const said = useMemo(() => data?.turns.flatMap(remembered) ?? [], [data]);
  return (
    <section className="chat" aria-label={t("chat.label")}>
      <div className="scroll" tabIndex={0} role="log" aria-label={t("chat.label")}>
        {!data && !error && <Waiting />}
        {Boolean(error) && <Wrong error={error} again={again} />}
        <div className="column">{said.map((one) => <Message key={one.id} said={one} acts={NOTHING} />)}</div>
      </div>
      <p className="column foot hint">{t("chat.read")}</p>
    </section>
  );
}
