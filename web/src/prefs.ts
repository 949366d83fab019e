import { keep, kept, Store } from "./store";

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

function first(): Language {
  const chosen = kept("local", "language");
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function look(): Theme {
  const chosen = kept("local", "theme");
  return chosen === "light" || chosen === "dark" ? chosen : "auto";
}

export const language = new Store<Language>(first());
export const theme = new Store<Theme>(look());

function apply(): void {
  document.documentElement.lang = language.get() === "zh" ? "zh-CN" : "en";
  const chosen = theme.get();
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

language.watch(() => {
  keep("local", "language", language.get());
  apply();
});
theme.watch(() => {
  keep("local", "theme", theme.get() === "auto" ? "" : theme.get());
  apply();
});
apply();

/** Whether the page is dark right now. */
export function dark(): boolean {
  const chosen = theme.get();
  return chosen === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}
