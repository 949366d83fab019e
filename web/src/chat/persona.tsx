import { Drama } from "lucide-react";
import { Dialog } from "radix-ui";
import { useState } from "react";
import { call, path } from "../api";
import { theTalk } from "../house";
import type { Persona } from "../pages/faces";
import { Portrait } from "../pages/faces";
import { IconButton, Waiting, Wrong } from "../ui";
import { Absent, useLoad } from "../ui/load";
import { useWords } from "../words";

/** Who answers in this conversation. */
export function Voices({ name }: { name: string }) {
  const t = useWords();
  const [open, setOpen] = useState(false);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger asChild><IconButton label={t("chat.persona")}><Drama /></IconButton></Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="veil" />
        <Dialog.Content className="dialog" aria-describedby={undefined}>
          <Dialog.Title className="dialog-title">{t("chat.persona")}</Dialog.Title>
          <List name={name} done={() => setOpen(false)} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function List({ name, done }: { name: string; done: () => void }) {
  const t = useWords();
  const { data, error, again } = useLoad<{ personas: Persona[]; default: string }>("/api/personas");
  const [refused, setRefused] = useState<unknown>(null);
  const conversation = theTalk().id(name);
  const choose = (persona: string): void => void call(`/api/conversations/${path(conversation)}/persona`, "PUT", { name: persona }).then(done, setRefused);
  if (error) return <Absent error={error} again={again} />;
  if (!data) return <Waiting />;
  return (
    <>
      {!conversation && <p className="hint">{t("chat.persona.first")}</p>}
      {Boolean(refused) && <Wrong error={refused} />}
      <div className="faces">
        {data.personas.map((one) => (
          <button key={one.name} type="button" className="face" disabled={!conversation} onClick={() => choose(one.name)}>
            <Portrait persona={one} />
            <strong>{one.title || one.name}</strong>
            {one.name === data.default && <span className="hint">{t("personas.default")}</span>}
          </button>
        ))}
      </div>
    </>
  );
}
