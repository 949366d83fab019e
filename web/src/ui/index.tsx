import { Check, CopyIcon, LoaderCircle, TriangleAlert, X } from "lucide-react";
import { AlertDialog, Dialog } from "radix-ui";
import type { ButtonHTMLAttributes, ReactNode } from "react";
import { useEffect, useState } from "react";
import { Failure } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { useWords } from "../words";

type Kind = "main" | "plain" | "quiet" | "danger";

export function Button({ kind = "plain", ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { kind?: Kind }) {
  return <button type="button" {...rest} className={`button ${kind} ${rest.className ?? ""}`} />;
}

/** A button that shows only a picture; its words are for a tooltip and for those who hear the page. */
export function IconButton({ label, ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { label: string }) {
  return <button type="button" {...rest} aria-label={label} title={label} className={`icon ${rest.className ?? ""}`} />;
}

export function Copy({ text }: { text: string }) {
  const t = useWords();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 2000);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <IconButton label={done ? t("app.copied") : t("app.copy")} onClick={() => void navigator.clipboard?.writeText(text).then(() => setDone(true), () => undefined)}>
      {done ? <Check /> : <CopyIcon />}
    </IconButton>
  );
}

/** A command to be typed elsewhere. */
export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <code>{text}</code>
      <Copy text={text} />
    </div>
  );
}

export function Waiting() {
  const t = useWords();
  return (
    <p className="waiting" role="status">
      <LoaderCircle className="turning" aria-hidden /> {t("app.loading")}
    </p>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

export function Badge({ tone, children }: { tone: "good" | "fair" | "bad" | "plain"; children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

/** What a code means in the reader's language, where that is not the server's; empty until it is known. */
function useMeaning(code: string): string {
  const chosen = useStore(language);
  const [meanings, setMeanings] = useState<Record<string, string>>({});
  useEffect(() => {
    if (chosen === "zh" && code) void import("../words/errors.zh").then((found) => setMeanings(found.errors), () => undefined);
  }, [chosen, code]);
  return (chosen === "zh" && meanings[code]) || "";
}

/** Something went wrong, in the server's words, and what to do. */
export function Wrong({ error, again }: { error: unknown; again?: () => void }) {
  const t = useWords();
  const failure = error instanceof Failure ? error : null;
  const text = failure?.status === 0 ? t("app.unreachable") : error instanceof Error ? error.message : String(error);
  const meaning = useMeaning(failure?.status ? failure.code : "");
  return (
    <div className="wrong" role="alert">
      <TriangleAlert aria-hidden />
      <div>
        <p>{meaning || text}</p>
        {meaning && <p className="hint" lang="en">{text}</p>}
        {failure?.hint && <p className="hint">{failure.hint}</p>}
        {failure?.faults.map((fault) => (
          <p className="hint" key={fault.path + fault.reason}>
            <code>{fault.path}</code> {fault.reason}
          </p>
        ))}
        {again && <Button kind="quiet" onClick={again}>{t("app.retry")}</Button>}
      </div>
    </div>
  );
}

/** Asks before something that cannot be undone. */
export function Sure({ text, label, onSure, children }: { text: string; label: string; onSure: () => void; children: ReactNode }) {
  const t = useWords();
  return (
    <AlertDialog.Root>
      <AlertDialog.Trigger asChild>{children}</AlertDialog.Trigger>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="veil" />
        <AlertDialog.Content className="dialog">
          <AlertDialog.Title className="dialog-title">{label}</AlertDialog.Title>
          <AlertDialog.Description>{text}</AlertDialog.Description>
          <div className="row end">
            <AlertDialog.Cancel asChild><Button>{t("app.cancel")}</Button></AlertDialog.Cancel>
            <AlertDialog.Action asChild><Button kind="danger" onClick={onSure}>{label}</Button></AlertDialog.Action>
          </div>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}

/** The sidebar of narrow screens. */
export function Drawer({ open, setOpen, label, children }: { open: boolean; setOpen: (open: boolean) => void; label: string; children: ReactNode }) {
  const t = useWords();
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Portal>
        <Dialog.Overlay className="veil" />
        <Dialog.Content className="drawer" aria-describedby={undefined}>
          <Dialog.Title className="unseen">{label}</Dialog.Title>
          <Dialog.Close asChild>
            <IconButton label={t("app.close")} className="shut"><X /></IconButton>
          </Dialog.Close>
          {children}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

export function Page({ title, text, action, children }: { title: string; text?: string; action?: ReactNode; children: ReactNode }) {
  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>{title}</h1>
          {text && <p>{text}</p>}
        </div>
        {action}
      </header>
      {children}
    </div>
  );
}
