import { useEffect, useState } from "react";
import { Copy } from "../ui";
import { useWords } from "../words";

const LONGEST = 50_000;

/** Code with its language, a button that copies it, and colours once they have come. */
export function Code({ language, text }: { language: string; text: string }) {
  const t = useWords();
  const [made, setMade] = useState({ text: "", html: "" });
  useEffect(() => {
    let wanted = true;
    if (language && text.length < LONGEST) {
      void import("./colours").then(
        ({ colour }) => wanted && setMade({ text, html: colour(text, language) }),
        () => undefined,
      );
    }
    return () => {
      wanted = false;
    };
  }, [language, text]);
  const html = made.text === text ? made.html : "";
  return (
    <figure className="code" aria-label={t("code.run", { language: language || t("code.text") })}>
      <figcaption>
        <span>{language || t("code.text")}</span>
        <Copy text={text} />
      </figcaption>
      <pre tabIndex={0}>{html ? <code dangerouslySetInnerHTML={{ __html: html }} /> : <code>{text}</code>}</pre>
    </figure>
  );
}
