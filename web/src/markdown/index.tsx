import { lazy, memo, Suspense, useEffect, useMemo, useRef } from "react";
import type { Block } from "./blocks";
import { blocks } from "./blocks";
import { Code } from "./code";

const Diagram = lazy(() => import("./diagram"));
const Chart = lazy(() => import("./chart"));

/** Markdown that may still be growing. */
export function Markdown({ text }: { text: string }) {
  const found = useMemo(() => blocks(text), [text]);
  return (
    <div className="prose">
      {found.map((block, place) => (
        <Piece key={place} block={block} id={block.kind === "html" ? block.html : `${block.language}\n${block.open}\n${block.text}`} />
      ))}
    </div>
  );
}

const Piece = memo(
  function Piece({ block }: { block: Block; id: string }) {
    if (block.kind === "html") return <Html html={block.html} />;
    const plain = <Code language={block.language} text={block.text} />;
    if (block.open) return plain;
    if (block.language === "mermaid") return <Suspense fallback={plain}><Diagram source={block.text} /></Suspense>;
    if (block.language === "echarts") return <Suspense fallback={plain}><Chart source={block.text} /></Suspense>;
    return plain;
  },
  (before, after) => before.id === after.id,
);

/** Sanitised HTML; formulas in it are set once KaTeX has come. */
function Html({ html }: { html: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const here = place.current;
    for (const link of here?.querySelectorAll("a") ?? []) {
      link.target = "_blank";
      link.rel = "noopener noreferrer nofollow";
    }
    for (const box of here?.querySelectorAll("input") ?? []) box.setAttribute("aria-label", box.closest("li")?.textContent?.trim() || "☐");
    if (!here?.querySelector(".math")) return;
    void import("./maths").then(({ set }) => set(here), () => undefined);
  }, [html]);
  return <div ref={place} dangerouslySetInnerHTML={{ __html: html }} />;
}
