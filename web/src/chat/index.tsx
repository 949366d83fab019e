import { ArrowDown } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { theTalk } from "../house";
import { useStore } from "../store";
import { IconButton, Waiting, Wrong } from "../ui";
import type { Key } from "../words/en";
import { useWords } from "../words";
import type { Pen } from "./composer";
import { Composer } from "./composer";
import { Message } from "./said";

const NEAR = 120;
const TRIES: Key[] = ["chat.try.1", "chat.try.2", "chat.try.3", "chat.try.4"];

/** A conversation that goes on. */
export function Chat({ name }: { name: string }) {
  const t = useWords();
  const talk = theTalk();
  const thread = useStore(talk.thread(name));
  const pen = useRef<Pen>(null);
  const model = useRef("");
  const { said } = thread;
  const busy = said.some((one) => one.state === "coming");
  const say = (text: string, chosen: string): void => {
    model.current = chosen;
    talk.say(name, text, chosen);
  };
  const acts = useMemo(() => ({
    edit: (text: string) => pen.current?.write(text),
    ask: (text: string) => talk.say(name, text, model.current),
    again: (id: string) => talk.again(name, id),
  }), [talk, name]);
  const last = said.at(-1);
  const { place, below, down } = useBottom(`${said.length} ${last?.text.length ?? 0}`, said.length);
  return (
    <section className="chat" aria-label={t("chat.label")}>
      <div className="scroll" ref={place} tabIndex={0} role="log" aria-label={t("chat.label")} aria-live="off">
        {!thread.loaded && said.length === 0 && <Waiting />}
        {thread.error && <Wrong error={new Error(thread.error)} />}
        {thread.loaded && said.length === 0 && <Hello say={(text) => say(text, "")} />}
        <div className="column">{said.map((one) => <Message key={one.id} said={one} acts={acts} />)}</div>
      </div>
      <p className="unseen" role="status">{last?.by === "kith" && last.state === "done" ? last.text.slice(0, 600) : ""}</p>
      <div className="column foot">
        {below && <IconButton label={t("chat.latest")} className="down" onClick={down}><ArrowDown /></IconButton>}
        <Composer busy={busy} say={say} stop={() => talk.stop(name)} pen={pen} />
      </div>
    </section>
  );
}

function Hello({ say }: { say: (text: string) => void }) {
  const t = useWords();
  return (
    <div className="hello">
      <img src="/app/icon.svg" alt="" width="64" height="64" />
      <h1>{t("chat.hello")}</h1>
      <p>{t("chat.hello.text")}</p>
      <div className="tries">
        {TRIES.map((key) => <button key={key} type="button" onClick={() => say(t(key))}>{t(key)}</button>)}
      </div>
    </div>
  );
}

/** Stays at the bottom while something grows there, unless the reader has gone up. */
function useBottom(grown: string, count: number) {
  const place = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const [below, setBelow] = useState(false);
  const down = (): void => {
    follow.current = true;
    const here = place.current;
    here?.scrollTo({ top: here.scrollHeight });
  };
  useEffect(() => {
    const here = place.current;
    if (!here) return;
    const moved = (): void => {
      const far = here.scrollHeight - here.scrollTop - here.clientHeight > NEAR;
      follow.current = !far;
      setBelow(far);
    };
    // Formulas, diagrams and charts come later than their words and push them up.
    const grows = new ResizeObserver(() => follow.current && here.scrollTo({ top: here.scrollHeight }));
    if (here.lastElementChild) grows.observe(here.lastElementChild);
    here.addEventListener("scroll", moved, { passive: true });
    return () => {
      here.removeEventListener("scroll", moved);
      grows.disconnect();
    };
  }, []);
  useEffect(() => {
    if (follow.current) down();
  }, [grown]);
  useEffect(down, [count]);
  return { place, below, down };
}
