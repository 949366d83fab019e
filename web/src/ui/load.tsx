import { useCallback, useEffect, useRef, useState } from "react";
import { call, Failure } from "../api";
import { useWords } from "../words";
import { Empty, Wrong } from ".";

type Loaded<T> = { data: T | null; error: unknown; again: () => void };

/** What a route of the server answers; asked for again every `every` milliseconds while the page is looked at. */
export function useLoad<T>(path: string, every = 0): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const asked = useRef(0);
  const shown = useRef(0);
  const again = useCallback(() => {
    const mine = ++asked.current;
    // An answer that was overtaken by a later one, or belongs to another path, tells of a past that is over.
    const late = (): boolean => mine < shown.current || ((shown.current = mine), false);
    const found = (value: T): void => {
      if (late()) return;
      setData(value);
      setError(null);
    };
    void call<T>(path).then(found, (reason: unknown) => late() || setError(reason));
  }, [path]);
  useEffect(() => {
    setData(null);
    setError(null);
    again();
    const timer = every ? setInterval(() => document.visibilityState === "visible" && again(), every) : undefined;
    return () => {
      shown.current = ++asked.current;
      clearInterval(timer);
    };
  }, [again, every]);
  return { data, error, again };
}

/** Why a page has nothing to show: kindly where this house has not got that part, in the server's words otherwise. */
export function Absent({ error, again }: { error: unknown; again?: () => void }) {
  const t = useWords();
  const missing = error instanceof Failure && (error.status === 404 || error.status === 405 || error.status === 501);
  if (missing) return <Empty><p>{t("app.absent")}</p></Empty>;
  return <Wrong error={error} again={again} />;
}

/** Hands a value to the person as a JSON file. */
export function save(name: string, value: unknown): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
