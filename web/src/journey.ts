/** How a journey to the provider of single sign-on ended, as the address tells it: "connected", the code of a refusal, or nothing. `tidy` forgets it. */
export function ended(): string {
  const asked = new URLSearchParams(location.search);
  const found = asked.has("connected") ? "connected" : (asked.get("refused") ?? "");
  return /^[a-z_]{1,40}$/.test(found) ? found : "";
}

/** Take it out of the address, once it stands on the page: what is only being rendered may be thrown away and rendered again. */
export function tidy(): void {
  if (ended()) history.replaceState(null, "", location.pathname);
}

const KNOWN = ["link_taken", "not_admitted", "unauthenticated", "rate_limited"] as const;

/** The key of the words for a refusal. */
export function reason(code: string): `sso.${(typeof KNOWN)[number] | "other"}` {
  const found = KNOWN.find((one) => one === code);
  return `sso.${found ?? "other"}`;
}
