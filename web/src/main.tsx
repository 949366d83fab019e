import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import "./prefs";
import "./style/base.css";
import "./style/shell.css";
import "./style/chat.css";
import "./style/prose.css";
import "./style/pages.css";

const place = document.getElementById("root");
if (place) createRoot(place).render(<StrictMode><App /></StrictMode>);
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  void navigator.serviceWorker.register("/app/sw.js", { scope: "/app/" }).catch(() => undefined);
}
