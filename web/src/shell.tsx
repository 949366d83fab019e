import { BookOpen, Bot, Brain, Drama, House, Menu, MessageCircle, Settings } from "lucide-react";
import type { ReactNode } from "react";
import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { me } from "./api";
import { Talks } from "./chat/talks";
import { theTalk } from "./house";
import { useStore } from "./store";
import { Drawer, IconButton } from "./ui";
import type { Key } from "./words/en";
import { useWords } from "./words";

type Room = { to: string; key: Key; icon?: typeof Bot; role?: "admin" | "owner" };

const ROOMS: Room[] = [
  { to: "/memory", key: "nav.memory", icon: Brain },
  { to: "/personas", key: "nav.personas", icon: Drama },
  { to: "/models", key: "nav.models", icon: Bot },
  { to: "/knowledge", key: "nav.knowledge", icon: BookOpen },
  { to: "/state", key: "nav.house", icon: House },
  { to: "/settings", key: "nav.settings", icon: Settings },
];
/** What belongs to running the house; its pages share one row of links. */
const HOUSE: Room[] = [
  { to: "/state", key: "nav.state" },
  { to: "/channels", key: "nav.channels", role: "admin" },
  { to: "/flow", key: "nav.flow" },
  { to: "/unanswered", key: "nav.unanswered", role: "admin" },
  { to: "/paths", key: "nav.paths", role: "admin" },
  { to: "/household", key: "nav.household", role: "admin" },
  { to: "/outbox", key: "nav.outbox", role: "admin" },
  { to: "/tokens", key: "nav.tokens", role: "admin" },
  { to: "/audit", key: "nav.audit", role: "owner" },
  { to: "/config", key: "nav.config", role: "owner" },
];
const within = (place: string, room: Room): boolean => place === room.to || place.startsWith(`${room.to}/`);

export function Shell({ children }: { children: ReactNode }) {
  const t = useWords();
  const [open, setOpen] = useState(false);
  const [place] = useLocation();
  useEffect(() => {
    setOpen(false);
    const room = [...HOUSE, ...ROOMS].find((one) => within(place, one));
    document.title = room ? `${t(room.key)} · Kith` : "Kith";
  }, [place, t]);
  return (
    <div className="shell">
      <a className="skip" href="#main">{t("app.skip")}</a>
      <aside className="side"><Side /></aside>
      <Drawer open={open} setOpen={setOpen} label={t("app.menu")}><Side /></Drawer>
      <div className="stage">
        <header className="top">
          <IconButton label={t("app.menu")} onClick={() => setOpen(true)}><Menu /></IconButton>
          <Brand />
          <Link href="/c/main" className="icon" aria-label={t("nav.chat")}><MessageCircle /></Link>
        </header>
        <Broken />
        <main id="main" tabIndex={-1}><Tabs />{children}</main>
      </div>
    </div>
  );
}

function Brand() {
  return (
    <Link href="/c/main" className="brand">
      <img src="/app/icon.svg" alt="" width="26" height="26" />
      <span>Kith</span>
    </Link>
  );
}

function Side() {
  const t = useWords();
  const [place] = useLocation();
  const house = HOUSE.some((room) => within(place, room));
  return (
    <div className="side-in">
      <div className="side-head"><Brand /></div>
      <Talks />
      <nav aria-label={t("nav.main")} className="rooms">
        {ROOMS.map((room) => {
          const { to, key, icon: Icon } = room;
          const here = room.key === "nav.house" ? house : within(place, room);
          return <Link key={to} href={to} className="room" aria-current={here ? "page" : undefined}>{Icon && <Icon aria-hidden />} {t(key)}</Link>;
        })}
      </nav>
    </div>
  );
}

/** The pages of the house, above each of them. */
function Tabs() {
  const t = useWords();
  const who = useStore(me);
  const [place] = useLocation();
  const here = useRef<HTMLAnchorElement>(null);
  useEffect(() => void here.current?.scrollIntoView({ block: "nearest", inline: "center" }), [place]);
  if (!HOUSE.some((room) => within(place, room))) return null;
  const may = (room: Room): boolean => !room.role || who?.role === "owner" || (room.role === "admin" && who?.role === "admin");
  return (
    <nav className="tabs" aria-label={t("nav.house")}>
      {HOUSE.filter(may).map((room) => {
        const current = within(place, room);
        return <Link key={room.to} ref={current ? here : undefined} href={room.to} aria-current={current ? "page" : undefined}>{t(room.key)}</Link>;
      })}
    </nav>
  );
}

/** Says when the line to the house is down, but not for a blink of it. */
function Broken() {
  const t = useWords();
  const line = useStore(theTalk().live.line);
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (line === "open") {
      setLate(false);
      return;
    }
    const timer = setTimeout(() => setLate(true), 1500);
    return () => clearTimeout(timer);
  }, [line]);
  return <div role="status">{late && <p className="line">{t("line.waiting")}</p>}</div>;
}
