import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import Channels from "../src/pages/channels";

const CHANNEL = {
  name: "paper", title: { en: "Paper", zh: "纸" }, quality: "silver", delivery: "at_least_once", state: "stopped", note: "", configured: false,
  last_in: 0, last_out: 0, lag: 0, errors: 0, capabilities: ["text", "qr"], scan: true, schema: { properties: { token: { type: "string" } } },
};

afterEach(() => (cleanup(), vi.unstubAllGlobals()));

/** A server whose scans go through `states`, one for each question. */
function serve(states: string[]): { asked: unknown[] } {
  const asked: unknown[] = [];
  const told = (state: string) => ({ scan: "s/1", state, picture: "https://w/q1", svg: "<svg xmlns='http://www.w3.org/2000/svg'/>" });
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    let body: unknown = { channels: [CHANNEL] };
    if (url === "/api/pairing") body = { waiting: [], faces: [] };
    if (url === "/api/channels/paper/scan") body = told("waiting");
    if (url === "/api/channels/paper/scan/s%2F1") (asked.push(JSON.parse(String(init.body))), (body = told(states.shift() ?? "waiting")));
    return new Response(JSON.stringify(body), { status: 200 });
  });
  return { asked };
}

test("a QR code is shown, digits are asked for, and it goes away when it is done", async () => {
  const { asked } = serve(["code", "done"]);
  render(<Channels />);
  fireEvent.click(await screen.findByRole("button", { name: /QR code|扫码/, hidden: true }));
  const picture = await waitFor(() => {
    const found = document.querySelector("img.qr");
    expect(found).toBeTruthy();
    return found as HTMLImageElement;
  });
  expect(picture.src).toMatch(/^data:image\/svg\+xml,%3Csvg/);
  const digits = await waitFor(() => {
    const found = document.querySelector("input[inputmode=numeric]");
    expect(found).toBeTruthy();
    return found as HTMLInputElement;
  });
  fireEvent.change(digits, { target: { value: "4711" } });
  fireEvent.submit(digits.form as HTMLFormElement);
  await waitFor(() => expect(document.querySelector("img.qr")).toBeNull());
  expect(asked).toEqual([{ code: "" }, { code: "4711" }]);
});
