// The app's own files are kept, so that it opens without the network; nothing of a conversation is ever stored here.
const CACHE = "kith-app-1";
const SHELL = "/app/";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.add(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((n) => n !== CACHE).map((n) => caches.delete(n))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

async function page(request) {
  const cache = await caches.open(CACHE);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) {
      await cache.put(SHELL, fresh.clone());
      // The names of assets carry a hash of what is in them: those that the new page does not need any more go.
      const text = await fresh.clone().text();
      for (const kept of await cache.keys()) {
        const path = new URL(kept.url).pathname;
        if (/^\/app\/assets\/index-/.test(path) && !text.includes(path)) await cache.delete(kept);
      }
    }
    return fresh;
  } catch (error) {
    const kept = await cache.match(SHELL);
    if (kept) return kept;
    throw error;
  }
}

async function asset(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (kept) return kept;
  const fresh = await fetch(request);
  if (fresh.ok) await cache.put(request, fresh.clone());
  return fresh;
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin || !url.pathname.startsWith(SHELL)) return;
  if (event.request.mode === "navigate") event.respondWith(page(event.request));
  else if (url.pathname.startsWith("/app/assets/")) event.respondWith(asset(event.request));
});
