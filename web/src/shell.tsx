import { Activity, Bot, KeyRound, Menu, MessageCircle, SendHorizontal, Settings, Waypoints } from "lucide-react";
import type { ReactNode } from "react";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { me } from "./api";
import { Talks } from "./chat/talks";
import { theTalk } from "./house";
import { useStore } from "./store";
import { Drawer, IconButton } from "./ui";
import type { Key } from "./words/en";
import { useWords } from "./words";

const ROOMS: { to: string; key: Key; icon: typeof Bot; trusted: boolean }[] = [
  { to: "/models", key: "nav.models", icon: Bot, trusted: false },
  { to: "/state", key: "nav.state", icon: Activity, trusted: false },
  { to: "/flow", key: "nav.flow", icon: Waypoints, trusted: false },
  { to: "/outbox", key: "nav.outbox", icon: SendHorizontal, trusted: true },
  { to: "/tokens", key: "nav.tokens", icon: KeyRound, trusted: true },
  { to: "/settings", key: "nav.settings", icon: Settings, trusted: false },
];

export function Shell({ children }: { children: ReactNode }) {
  const t = useWords();
  const [open, setOpen] = useState(false);
  const [place] = useLocation();
  useEffect(() => {
    setOpen(false);
    const room = ROOMS.find((one) => place.startsWith(one.to));
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
        <main id="main" tabIndex={-1}>{children}</main>
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
  const who = useStore(me);
  const [place] = useLocation();
  const trusted = who?.role === "owner" || who?.role === "admin";
  return (
    <div className="side-in">
      <div className="side-head"><Brand /></div>
      <Talks />
      <nav aria-label={t("nav.main")} className="rooms">
        {ROOMS.filter((room) => trusted || !room.trusted).map(({ to, key, icon: Icon }) => (
          <Link key={to} href={to} className="room" aria-current={place.startsWith(to) ? "page" : undefined}>
            <Icon aria-hidden /> {t(key)}
          </Link>
        ))}
      </nav>
    </div>
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
