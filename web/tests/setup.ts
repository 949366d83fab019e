import { configure } from "@testing-library/react";

// A machine may be slow, and a deadline costs nothing when all is well.
configure({ asyncUtilTimeout: 30_000 });

// jsdom lacks what the pages ask the browser for.
window.matchMedia ??= (query: string) =>
  ({ matches: false, media: query, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as MediaQueryList;
