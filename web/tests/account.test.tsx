import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { ended } from "../src/journey";
import { me } from "../src/api";
import { Account, Authenticator, Linked } from "../src/pages/account";
import { Door } from "../src/pages/door";

const ONE = { id: "k1", name: "mia@work", issuer: "https://login.example", since: 1_790_000_000 };

afterEach(() => (cleanup(), vi.unstubAllGlobals(), history.replaceState(null, "", "/")));

/** A server whose provider is `available`, with the accounts in `links`. */
function serve(available: boolean, links: unknown[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    asked.push(`${init.method} ${url}`);
    if (init.method === "DELETE") links.pop();
    return new Response(JSON.stringify(init.method === "GET" ? { available, links } : { id: "k1", done: "disconnect" }), { status: 200 });
  });
  return asked;
}

test("what is connected is shown, and disconnected after a question", async () => {
  const asked = serve(true, [ONE]);
  history.replaceState(null, "", "/app/settings?connected");
  render(<StrictMode><Linked /></StrictMode>);
  await screen.findByText("mia@work", { exact: false });
  expect(screen.getByRole("status").textContent).toMatch(/connected|已关联/);
  expect(location.search).toBe("");
  fireEvent.click(screen.getByRole("button", { name: /Disconnect|解除/ }));
  const dialog = await screen.findByRole("alertdialog");
  fireEvent.click([...dialog.querySelectorAll("button")].find((one) => /Disconnect|解除/.test(one.textContent ?? "")) as HTMLButtonElement);
  await waitFor(() => expect(asked).toContain("DELETE /api/oidc/links/k1"));
  await waitFor(() => expect(screen.queryByText("mia@work", { exact: false })).toBeNull());
});

test("a refusal is told in words, and only words of ours", async () => {
  serve(true, []);
  history.replaceState(null, "", "/app/settings?refused=link_taken");
  render(<Linked />);
  expect((await screen.findByRole("alert")).textContent).toMatch(/another account|另一个账户/);
  history.replaceState(null, "", "/app/?refused=%3Cb%3E");
  expect(ended()).toBe("");
});

test("without a provider there is nothing to see", async () => {
  const asked = serve(false, []);
  render(<Linked />);
  await waitFor(() => expect(asked.length).toBe(1));
  expect(document.querySelector("section")).toBeNull();
});

/** A machine may be slow, and a deadline costs nothing when all is well. */
const SLOW = { timeout: 30_000 };

test("who could not be signed out stays signed in, and is told", async () => {
  let there = false;
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    if (init.method === "DELETE" && !there) throw new TypeError("no network");
    return Response.json(init.method === "DELETE" ? { id: "ann", done: "sign out" } : { sessions: [] });
  });
  me.set({ id: "ann", name: "Ann", role: "member", version: "" });
  render(<Account />);
  const out = screen.getByRole("button", { name: /^(Sign out|退出登录)$/ });
  fireEvent.click(out);
  expect((await screen.findByRole("alert", {}, SLOW)).textContent).toMatch(/still signed in|仍处于登录/);
  expect(me.get()?.id).toBe("ann");
  there = true;
  fireEvent.click(out);
  await waitFor(() => expect(me.get()).toBeNull(), SLOW);
});

test("who is signed out already is signed out", async () => {
  vi.stubGlobal("fetch", async () => Response.json({ error: { code: "not_signed_in", message: "no" } }, { status: 401 }));
  me.set({ id: "ann", name: "Ann", role: "member", version: "" });
  render(<Account />);
  fireEvent.click(screen.getByRole("button", { name: /^(Sign out|退出登录)$/ }));
  await waitFor(() => expect(me.get()).toBeNull(), SLOW);
});

test.each([[true, /^(on|开)$/], [false, /^(off|关)$/]])("the second proof says whether it is on: %s", async (on, said) => {
  vi.stubGlobal("fetch", async () => Response.json({ on }));
  render(<Authenticator />);
  await waitFor(() => expect(document.querySelector("h2 .badge")?.textContent).toMatch(said), SLOW);
});

test("after single sign-on the code of the authenticator is asked for, and nothing else", async () => {
  const sent: unknown[] = [];
  vi.stubGlobal("fetch", async (path: string, init?: RequestInit) => {
    if (String(path).endsWith("/api/session")) {
      sent.push(JSON.parse(String(init?.body)));
      return Response.json({ error: { code: "second_factor", message: "no" } }, { status: 403 });
    }
    return Response.json({ claimed: true, available: true });
  });
  history.replaceState(null, "", "/app/?refused=second_factor_needed");
  render(<StrictMode><Door /></StrictMode>);
  const field = await screen.findByLabelText(/Code of the authenticator|身份验证器代码/);
  expect(document.querySelectorAll("form input").length).toBe(1);
  fireEvent.change(field, { target: { value: " 123456 " } });
  fireEvent.submit(field.closest("form") as HTMLFormElement);
  expect((await screen.findByRole("alert", {}, SLOW)).textContent).toMatch(/used already|已经用过/);
  expect(sent).toEqual([{ totp: "123456" }]);
});
