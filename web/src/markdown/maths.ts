import katex from "katex";
import "katex/dist/katex.min.css";

/** Set every formula inside `place`. What is not a formula stays as it was written. */
export function set(place: HTMLElement): void {
  for (const mark of place.querySelectorAll<HTMLElement>(".math:not([data-set])")) {
    const source = mark.textContent ?? "";
    mark.setAttribute("data-set", "");
    try {
      const displayMode = mark.dataset.display === "true";
      katex.render(source, mark, { displayMode, throwOnError: true, trust: false, maxSize: 40, maxExpand: 500 });
    } catch {
      mark.textContent = source;
    }
  }
}
