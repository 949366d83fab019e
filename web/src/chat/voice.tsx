import { Mic, Square } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { IconButton } from "../ui";
import { useWords } from "../words";

const LONGEST = 300_000;

/** Records what is said into a message. Shown where this browser can record at all. */
export function Voice({ heard, wrong }: { heard: (sound: Blob, name: string) => void; wrong: (note: string) => void }) {
  const t = useWords();
  const [seconds, setSeconds] = useState(-1);
  const recorder = useRef<MediaRecorder | null>(null);
  const here = useRef(true);
  const asking = useRef(false);
  useEffect(() => {
    if (seconds < 0) return;
    const timer = setInterval(() => setSeconds((old) => old + 1), 1000);
    return () => clearInterval(timer);
  }, [seconds < 0]);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
      mute(recorder.current?.stream);
    };
  }, []);
  if (typeof MediaRecorder === "undefined" || !navigator.mediaDevices) return null;
  const start = async (): Promise<void> => {
    if (asking.current) return;
    asking.current = true;
    let stream: MediaStream | undefined;
    let made: MediaRecorder;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      made = new MediaRecorder(stream);
    } catch {
      mute(stream);
      return wrong(t("chat.voice.refused"));
    } finally {
      asking.current = false;
    }
    // The page may have been left while the browser asked: then nobody is to listen.
    if (!here.current) return mute(stream);
    const pieces: Blob[] = [];
    const late = setTimeout(() => made.state === "recording" && made.stop(), LONGEST);
    made.ondataavailable = (event) => pieces.push(event.data);
    made.onstop = () => {
      clearTimeout(late);
      mute(stream);
      setSeconds(-1);
      const mime = made.mimeType.split(";")[0] || "audio/webm";
      const sound = new Blob(pieces, { type: mime });
      if (sound.size > 0 && here.current) heard(sound, `${t("chat.part.audio")}.${mime.split("/")[1] ?? "webm"}`);
    };
    recorder.current = made;
    made.start(1000);
    setSeconds(0);
  };
  if (seconds < 0) return <IconButton label={t("chat.voice")} onClick={() => void start()}><Mic /></IconButton>;
  return (
    <>
      <span className="recording" role="status">● {Math.floor(seconds / 60)}:{String(seconds % 60).padStart(2, "0")}</span>
      <IconButton label={t("chat.voice.stop")} onClick={() => recorder.current?.stop()}><Square /></IconButton>
    </>
  );
}

function mute(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
