import { elsewhere, me } from "./api";
import { Talk } from "./talk";

/** The talk of whoever is signed in; a new one for everybody who comes after. */
let talk: Talk | null = null;
let whose = "";

export function theTalk(): Talk {
  if (!talk) {
    talk = new Talk();
    talk.live.start();
    whose = me.get()?.id ?? "";
  }
  return talk;
}

me.watch(() => {
  if (!talk || me.get()?.id === whose) return;
  talk.live.stop();
  talk = null;
});
window.addEventListener("storage", elsewhere);
