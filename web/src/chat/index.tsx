import { ArrowDown } from "lucide-react";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import type { Media, Part } from "../api";
import { theTalk } from "../house";
import { useStore } from "../store";
import type { Said } from "../talk";
import { Button, IconButton, Waiting, Wrong } from "../ui";
import type { Key } from "../words/en";
import { useWords } from "../words";
import type { Pen } from "./composer";
import { Composer } from "./composer";
import { Message } from "./said";

const isMedia = (part: Part): part is Media => part.type === "image" || part.type === "audio" || part.type === "file";
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
  const [, go] = useLocation();
  const [wrong, setWrong] = useState<unknown>(null);
  const here = useRef(true);
  const turning = useRef(false);
  useEffect(() => (here.current = true, () => void (here.current = false)), []);
  const say = (text: string, chosen: string, parts: Media[] = []): void => {
    model.current = chosen;
    talk.say(name, text, chosen, parts);
  };
  const acts = useMemo(() => {
    // What was said stays as it was: to say it otherwise is to go on beside it.
    const aside = async (turn: string, before: boolean, then: (fresh: string) => void): Promise<boolean> => {
      if (turning.current) return false;
      turning.current = true;
      setWrong(null);
      try {
        const fresh = await talk.branch(name, turn, before);
        then(fresh);
        // Whoever has gone to another page meanwhile stays there.
        if (here.current) go(`/c/${fresh}`);
        return true;
      } catch (reason) {
        setWrong(reason);
        return false;
      } finally {
        turning.current = false;
      }
    };
    return {
      edit: (one: Said, text: string) => aside(one.turn, true, (fresh) => talk.say(fresh, text, model.current, one.parts.filter(isMedia))),
      redo: (one: Said) => {
        const asked = talk.thread(name).get().said.find((other) => other.by === "me" && other.turn === one.turn);
        if (asked) void aside(one.turn, true, (fresh) => talk.say(fresh, asked.text, model.current, asked.parts.filter(isMedia)));
      },
      branch: (one: Said) => void aside(one.turn, false, () => undefined),
      again: (id: string) => talk.again(name, id),
      rate: (turn: string, rating: number) => talk.rate(name, turn, rating),
    };
  }, [talk, name, go]);
  const last = said.at(-1);
  const count = said.length - thread.ahead;
  const { place, below, down } = useBottom(`${count} ${last?.text.length ?? 0}`, count, thread.ahead);
  const [fetching, setFetching] = useState(false);
  const earlier = (): void => {
    setFetching(true);
    setWrong(null);
    void talk.earlier(name).catch(setWrong).finally(() => setFetching(false));
  };
  return (
    <section className="chat" aria-label={t("chat.label")}>
      <div className="scroll" ref={place} tabIndex={0} role="log" aria-label={t("chat.label")} aria-live="off">
        {!thread.loaded && said.length === 0 && <Waiting />}
        {thread.error && <Wrong error={new Error(thread.error)} again={() => talk.reload(name)} />}
        {Boolean(wrong) && <Wrong error={wrong} />}
        {thread.loaded && !thread.error && said.length === 0 && <Hello say={(text) => say(text, "")} />}
        {thread.earlier && <p className="column earlier"><Button disabled={fetching} onClick={earlier}>{t("chat.earlier")}</Button></p>}
        <div className="column">{said.map((one) => <Message key={one.id} said={one} acts={acts} />)}</div>
      </div>
      <p className="unseen" role="status">{last?.by === "kith" && last.state === "done" ? last.text.slice(0, 600) : ""}</p>
      <div className="column foot">
        {below && <IconButton label={t("chat.latest")} className="down" onClick={down}><ArrowDown /></IconButton>}
        <Composer name={name} busy={busy} say={say} stop={() => talk.stop(name)} pen={pen} />
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

/** Stays at the bottom while something grows there, unless the reader has gone up; what comes `ahead` moves nothing. */
function useBottom(grown: string, count: number, ahead: number) {
  const place = useRef<HTMLDivElement>(null);
  const seen = useRef(ahead);
  // How far the reader is from the end, before what comes ahead is put into the page.
  const rest = seen.current !== ahead && place.current ? place.current.scrollHeight - place.current.scrollTop : 0;
  useLayoutEffect(() => {
    if (seen.current !== ahead) place.current?.scrollTo({ top: place.current.scrollHeight - rest });
    seen.current = ahead;
  }, [ahead]);
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
