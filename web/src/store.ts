import { useSyncExternalStore } from "react";

/** A value that components can watch. */
export class Store<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get = (): T => this.#value;

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  }

  watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.watch, store.get);
}

/** Text that outlives the page, where the browser lets us keep any. */
export function kept(place: "local" | "session", key: string): string {
  try {
    return (place === "local" ? localStorage : sessionStorage).getItem(`kith.${key}`) ?? "";
  } catch {
    return "";
  }
}

export function keep(place: "local" | "session", key: string, value: string): void {
  try {
    const shelf = place === "local" ? localStorage : sessionStorage;
    if (value) shelf.setItem(`kith.${key}`, value);
    else shelf.removeItem(`kith.${key}`);
  } catch {
    // A browser that keeps nothing still works; it only forgets.
  }
}
