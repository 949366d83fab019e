import mermaid from "mermaid";
import { useEffect, useId, useState } from "react";
import { dark, theme } from "../prefs";
import { useStore } from "../store";
import { Button } from "../ui";
import { useWords } from "../words";
import { Code } from "./code";

/** A Mermaid diagram. It is shown as a picture, in which nothing can run or be clicked. */
export default function Diagram({ source }: { source: string }) {
  const t = useWords();
  const look = useStore(theme);
  const id = `diagram${useId().replace(/\W/g, "")}`;
  const [picture, setPicture] = useState("");
  const [wrong, setWrong] = useState(false);
  const [raw, setRaw] = useState(false);
  useEffect(() => {
    let wanted = true;
    void draw(id, source).then(
      (svg) => wanted && (setPicture(svg), setWrong(false)),
      () => wanted && setWrong(true),
    );
    return () => {
      wanted = false;
    };
  }, [id, source, look]);
  if (wrong || raw || !picture) {
    return (
      <>
        <Code language="mermaid" text={source} />
        {wrong && <p className="hint">{t("diagram.wrong")}</p>}
        {raw && <Button kind="quiet" onClick={() => setRaw(false)}>{t("diagram.picture")}</Button>}
      </>
    );
  }
  return (
    <figure className="drawing">
      <img src={picture} alt={`${t("diagram.label")}: ${source.slice(0, 300)}`} />
      <Button kind="quiet" onClick={() => setRaw(true)}>{t("diagram.source")}</Button>
    </figure>
  );
}

async function draw(id: string, source: string): Promise<string> {
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    theme: dark() ? "dark" : "neutral",
    fontFamily: "system-ui, sans-serif",
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    suppressErrorRendering: true,
  });
  const { svg } = await mermaid.render(id, source);
  const page = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  // A picture has no page around it that says how large it is.
  const box = page.getAttribute("viewBox")?.split(/\s+/) ?? [];
  if (box[2] && box[3]) {
    page.setAttribute("width", box[2]);
    page.setAttribute("height", box[3]);
  }
  page.removeAttribute("style");
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(page))}`;
}
