import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { ended } from "../src/journey";
import { Linked } from "../src/pages/account";

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
