import type { Language } from "../prefs";
import { language } from "../prefs";
import { useStore } from "../store";
import type { Key } from "./en";
import { en } from "./en";
import { zh } from "./zh";

export type Words = (key: Key, values?: Record<string, string | number>) => string;

export function words(chosen: Language): Words {
  const catalogue = chosen === "zh" ? zh : en;
  return (key, values) => catalogue[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values?.[name] ?? whole));
}

const EVERY = { en: words("en"), zh: words("zh") };

/** The texts in the language of the interface. */
export function useWords(): Words {
  return EVERY[useStore(language)];
}

/** An instant, given in seconds, in the reader's own way: the time today, else the date. */
export function when(at: number, chosen: Language): string {
  const then = new Date(at * 1000);
  const today = new Date().toDateString() === then.toDateString();
  const shape: Intl.DateTimeFormatOptions = today
    ? { hour: "2-digit", minute: "2-digit" }
    : { year: "numeric", month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(chosen === "zh" ? "zh-CN" : "en-GB", shape).format(then);
}
