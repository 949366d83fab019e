import { me } from "./api";
import { Talk } from "./talk";

/** The talk of whoever is signed in; a new one for everybody who comes after. */
let talk: Talk | null = null;

export function theTalk(): Talk {
  if (!talk) {
    talk = new Talk();
    talk.live.start();
  }
  return talk;
}

me.watch(() => {
  if (me.get() || !talk) return;
  talk.live.stop();
  talk = null;
});
