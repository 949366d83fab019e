import { FileDown } from "lucide-react";
import { useState } from "react";
import type { Media } from "../api";
import { call, path } from "../api";
import { useWords } from "../words";

/** Keep a file on the server for a while, so that a message can name it. Throws `Failure`. */
export async function bring(file: Blob, name: string): Promise<Media> {
  const kept = await call<Omit<Media, "type">>(`/api/blobs?name=${path(name)}`, "POST", file);
  const kind = /^(image|audio)\//.exec(kept.mime)?.[1];
  return { ...kept, type: kind === "image" || kind === "audio" ? kind : "file" };
}

/** A picture, a sound or a file of a message. What the house no longer keeps is said so. */
export function Shown({ part }: { part: Media }) {
  const t = useWords();
  const [gone, setGone] = useState(false);
  const place = `/api/blobs/${part.blob}`;
  const name = part.name || t(`chat.part.${part.type}`);
  if (gone) return <p className="hint">{t("chat.part.gone", { name })}</p>;
  if (part.type === "image") return <a href={place} target="_blank" rel="noopener"><img className="picture" src={place} alt={name} loading="lazy" onError={() => setGone(true)} /></a>;
  if (part.type === "audio") return <audio controls preload="metadata" src={place} aria-label={name} onError={() => setGone(true)} />;
  return <a className="button" href={place} download={part.name || "file"}><FileDown aria-hidden /> {name}</a>;
}
