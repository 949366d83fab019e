import type { ReactNode } from "react";
import { Component, lazy, Suspense, useEffect, useState } from "react";
import { Link, Redirect, Route, Router, Switch } from "wouter";
import { forget, fresh, known, me, resume } from "./api";
import { Chat } from "./chat";
import { Archive } from "./chat/archive";
import { Door } from "./pages/door";
import { Shell } from "./shell";
import { useStore } from "./store";
import { Button, Empty, Waiting, Wrong } from "./ui";
import { useWords } from "./words";

const Models = lazy(() => import("./pages/models"));
const State = lazy(() => import("./pages/state"));
const Flow = lazy(() => import("./pages/flow"));
const Outbox = lazy(() => import("./pages/outbox"));
const Tokens = lazy(() => import("./pages/tokens"));
const Welcome = lazy(() => import("./pages/welcome"));
const Memory = lazy(() => import("./pages/memory"));
const Personas = lazy(() => import("./pages/personas"));
const Knowledge = lazy(() => import("./pages/knowledge"));
const Channels = lazy(() => import("./pages/channels"));
const Unanswered = lazy(() => import("./pages/unanswered"));
const Paths = lazy(() => import("./pages/paths"));
const Household = lazy(() => import("./pages/household"));
const Audit = lazy(() => import("./pages/audit"));
const Config = lazy(() => import("./pages/config"));
const Settings = lazy(() => import("./pages/settings"));

export function App() {
  return (
    <Router base="/app">
      <Guarded><Rooms /></Guarded>
    </Router>
  );
}

/** A fault of one page leaves the others standing. */
class Guarded extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const t = useWords();
  return (
    <Empty>
      <p>{t("app.broken")}</p>
      <Button kind="main" onClick={() => location.reload()}>{t("app.reload")}</Button>
    </Empty>
  );
}

function Rooms() {
  const t = useWords();
  const who = useStore(me);
  const first = useStore(fresh);
  const [asked, setAsked] = useState(!known());
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    if (asked) return;
    void resume().then(() => setError(null), (reason: unknown) => known() && setError(reason)).finally(() => setAsked(true));
  }, [asked]);
  if (!asked) return <Waiting />;
  if (!who && error && known()) {
    return <Empty><Wrong error={error} again={() => setAsked(false)} /><Button kind="quiet" onClick={() => (forget(), setError(null))}>{t("door.other")}</Button></Empty>;
  }
  if (!who) return <Door />;
  if (first) return <Suspense fallback={<Waiting />}><Welcome /></Suspense>;
  return (
    <Shell key={who.id}>
      <Suspense fallback={<Waiting />}>
        <Switch>
          <Route path="/"><Redirect to="/c/main" replace /></Route>
          <Route path="/c/:name">{({ name }) => <Chat key={name} name={plain(name)} />}</Route>
          <Route path="/h/:id">{({ id }) => <Archive key={id} id={plain(id)} />}</Route>
          <Route path="/models"><Models /></Route>
          <Route path="/state"><State /></Route>
          <Route path="/flow"><Flow /></Route>
          <Route path="/outbox"><Outbox /></Route>
          <Route path="/tokens"><Tokens /></Route>
          <Route path="/memory"><Memory /></Route>
          <Route path="/personas"><Personas /></Route>
          <Route path="/knowledge"><Knowledge /></Route>
          <Route path="/channels"><Channels /></Route>
          <Route path="/unanswered"><Unanswered /></Route>
          <Route path="/paths"><Paths /></Route>
          <Route path="/household"><Household /></Route>
          <Route path="/audit"><Audit /></Route>
          <Route path="/config"><Config /></Route>
          <Route path="/settings"><Settings /></Route>
          <Route><Lost /></Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}

/** A name out of an address, which anybody may have typed. */
function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function Lost() {
  const t = useWords();
  return (
    <Empty>
      <p>{t("app.lost")}</p>
      <Link href="/" className="button main">{t("app.home")}</Link>
    </Empty>
  );
}
