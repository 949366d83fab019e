import type { FormEvent } from "react";
import { useState } from "react";
import type { Role, Token } from "../api";
import { call, me, path } from "../api";
import { language } from "../prefs";
import { useStore } from "../store";
import { Badge, Button, Command, Page, Sure, Waiting, Wrong } from "../ui";
import { useLoad } from "../ui/load";
import { useWords, when } from "../words";

const ROLES: Role[] = ["owner", "admin", "member", "guest"];

export default function Tokens() {
  const t = useWords();
  const chosen = useStore(language);
  const { data, error, again } = useLoad<{ tokens: Token[] }>("/api/tokens");
  const [made, setMade] = useState("");
  const [refused, setRefused] = useState<unknown>(null);
  const revoke = (id: string): void => void call(`/api/tokens/${path(id)}`, "DELETE").then(again, setRefused);
  return (
    <Page title={t("tokens.title")} text={t("tokens.text")}>
      {Boolean(error ?? refused) && <Wrong error={error ?? refused} again={again} />}
      <Make made={(token) => (setMade(token), again())} refused={setRefused} />
      {made && <div className="card good" role="status"><p>{t("tokens.made")}</p><Command text={made} /></div>}
      {!data && !error && <Waiting />}
      <ul className="rows">
        {data?.tokens.map((token) => (
          <li key={token.id}>
            <span className="grow"><strong>{token.name}</strong><span className="hint">{t("tokens.created")} {when(token.created, chosen)}</span></span>
            <Badge tone="plain">{t(`role.${token.role}`)}</Badge>
            <Sure label={t("tokens.revoke")} text={t("tokens.revoke.sure", { name: token.name })} onSure={() => revoke(token.id)}>
              <Button kind="danger">{t("tokens.revoke")}</Button>
            </Sure>
          </li>
        ))}
      </ul>
    </Page>
  );
}

function Make({ made, refused }: { made: (token: string) => void; refused: (error: unknown) => void }) {
  const t = useWords();
  const who = useStore(me);
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("member");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    refused(null);
    const done = (told: { token: string }): void => {
      setName("");
      made(told.token);
    };
    void call<{ token: string }>("/api/tokens", "POST", { name: name.trim(), role }).then(done, refused);
  };
  return (
    <form className="card line-form" onSubmit={submit}>
      <label className="field grow"><span>{t("tokens.name")}</span>
        <input value={name} onChange={(e) => setName(e.target.value)} placeholder={t("tokens.name.hint")} maxLength={80} required />
      </label>
      <label className="field"><span>{t("tokens.role")}</span>
        <select value={role} onChange={(e) => setRole(e.target.value as Role)}>
          {ROLES.filter((one) => one !== "owner" || who?.role === "owner").map((one) => <option key={one} value={one}>{t(`role.${one}`)}</option>)}
        </select>
      </label>
      <Button kind="main" type="submit" disabled={!name.trim()}>{t("tokens.make")}</Button>
    </form>
  );
}
