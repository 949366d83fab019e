import type { Proof } from "./api";
import { call } from "./api";

type Told = Record<string, unknown>;
const BINARY = new Set(["challenge", "id"]);

const bytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const text = (raw: ArrayBuffer): string => btoa(String.fromCharCode(...new Uint8Array(raw))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** Options of WebAuthn as JSON, with their binary fields as bytes. `rp` has an id that stays text. */
export function opened(options: Told): Told {
  const inside = (value: unknown, name: string): unknown => {
    if (typeof value === "string" && BINARY.has(name)) return bytes(value);
    if (Array.isArray(value)) return value.map((one) => inside(one, ""));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, name === "rp" ? one : inside(one, key)]));
    return value;
  };
  return inside(options, "") as Told;
}

/** What the authenticator answered, as JSON (WebAuthn level 3, `toJSON`), also in browsers that cannot write it. */
export function written(credential: PublicKeyCredential): Told {
  const answer = credential.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const response: Told = { clientDataJSON: text(answer.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"] as const) {
    const found = answer[name];
    if (found) response[name] = text(found as ArrayBuffer);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response, clientExtensionResults: {} };
}

/** Whether a passkey can be used on this page at all: it belongs to a name, never to a bare address. */
export const able = (): boolean => typeof PublicKeyCredential !== "undefined" && !/^[\d.]+$|:/.test(location.hostname);

const options = (told: Told): never => ({ publicKey: opened((told.publicKey as Told | undefined) ?? told) }) as never;

export async function make(name: string): Promise<void> {
  const made = await navigator.credentials.create(options(await call<Told>("/api/passkeys/new", "POST")));
  if (made) await call("/api/passkeys", "POST", { name, credential: written(made as PublicKeyCredential) });
}

export async function proof(): Promise<Proof> {
  const found = await navigator.credentials.get(options(await call<Told>("/api/session/passkey", "POST")));
  return { passkey: written(found as PublicKeyCredential) };
}
