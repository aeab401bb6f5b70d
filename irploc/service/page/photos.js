// The photos that were asked about: each is sent in a request of its own, two at a time, and has a state of its own.
// A service that is busy lets all of them wait together, so that they do not crowd each other out.

import { isThere, json } from "./api.js";
import { isWaiting } from "./words.js";

const AT_ONCE = 2;
const LONGEST_PAUSE_S = 60;
const POLL_MS = 3000;
const MOST_LOST = 5; // a photo at which the connection breaks or time runs out so often is the reason itself
const PAUSING = new Set([429, 503, 504]);
const REASONS = { busy: "the service is busy", loading: "the service is loading its places" };

/** Fires "change" with the photo as detail whenever one changes. */
export class Photos extends EventTarget {
  items = [];
  #running = 0;
  #atOnce = AT_ONCE;
  #pause = null; // of all photos: the state that it gives them, its end and its timer
  #watching = false;
  #counter = 0;

  /** Adds files and sends them with the given fields. */
  add(files, fields) {
    const added = [...files].map((file) => ({
      id: `photo-${++this.#counter}`,
      file,
      name: file.name || "pasted photo",
      url: URL.createObjectURL(file),
      fields,
      state: "queued", // queued, busy, loading, sending, offline, refused, answered
      words: "waiting",
      answer: null,
      lost: 0,
    }));
    this.items.push(...added);
    added.forEach((photo) => this.#changed(photo));
    this.#next();
    return added;
  }

  /** Sends a photo once more, perhaps with other fields; those of one that is still to be sent just become these. */
  again(photo, fields = photo.fields) {
    if (photo.state === "sending") return;
    Object.assign(photo, { fields, lost: 0 });
    if (isWaiting(photo)) return;
    photo.answer = null;
    this.#set(photo, "queued", "waiting");
    this.#next();
  }

  /** Takes a photo off the list. */
  remove(photo) {
    photo.abort?.abort();
    URL.revokeObjectURL(photo.url);
    this.items = this.items.filter((other) => other !== photo);
    this.#changed(photo);
  }

  #next() {
    if (this.#pause) return;
    for (const photo of this.items) {
      if (this.#running >= this.#atOnce) return;
      if (photo.state === "queued") this.#send(photo);
    }
  }

  async #send(photo) {
    this.#running += 1;
    photo.abort = new AbortController();
    this.#set(photo, "sending", `sending ${sizeOf(photo.file)}, then waiting`);
    try {
      const { results } = await json("v1/localize", { method: "POST", body: formOf(photo), signal: photo.abort.signal });
      if (!this.#pause) this.#atOnce = AT_ONCE;
      photo.answer = results[0];
      this.#set(photo, "answered", results[0].status);
    } catch (error) {
      this.#failed(photo, error);
    } finally {
      this.#running -= 1;
      this.#next();
    }
  }

  #failed(photo, error) {
    if (error.name === "AbortError") return;
    const { status, code, retryAfter, isUnreached } = error;
    if (isUnreached || status === 504) photo.lost += 1;
    if (isUnreached) {
      this.#set(photo, "offline", isGivenUp(photo) ? error.message : `${error.message} The photo is sent again once the service is there.`);
      this.#watch();
    } else if (PAUSING.has(status) && !isGivenUp(photo)) {
      this.#set(photo, "queued", "waiting");
      this.#rest(code === "not_ready" ? "loading" : "busy", Math.min(retryAfter ?? 2, LONGEST_PAUSE_S));
    } else {
      this.#set(photo, "refused", String(error.message));
    }
  }

  /** Nothing is sent for a while, and then one photo at a time until one is answered. */
  #rest(state, seconds) {
    clearTimeout(this.#pause?.timer);
    this.#atOnce = 1;
    this.#pause = { state, end: performance.now() + 1000 * seconds };
    this.#countDown();
  }

  /** Tells the seconds that are left with every photo that waits for them. */
  #countDown() {
    const { state, end } = this.#pause;
    const seconds = Math.ceil((end - performance.now()) / 1000);
    const waiting = this.items.filter((photo) => isWaiting(photo) && photo.state !== "sending");
    if (seconds > 0) {
      this.#pause.timer = setTimeout(() => this.#countDown(), 1000);
      waiting.forEach((photo) => this.#set(photo, state, `${REASONS[state]}, again in ${seconds} s`));
    } else {
      this.#pause = null;
      waiting.forEach((photo) => this.#set(photo, "queued", "waiting"));
      this.#next();
    }
  }

  /** Looks for the service while there are photos that did not reach it, and sends them once it is there. */
  async #watch() {
    if (this.#watching) return;
    this.#watching = true;
    const lost = () => this.items.filter((photo) => photo.state === "offline" && !isGivenUp(photo));
    while (lost().length) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (await isThere()) lost().forEach((photo) => this.#set(photo, "queued", "waiting"));
    }
    this.#watching = false;
    this.#next();
  }

  #set(photo, state, words) {
    Object.assign(photo, { state, words });
    this.#changed(photo);
  }

  #changed(photo) {
    this.dispatchEvent(new CustomEvent("change", { detail: photo }));
  }
}

const isGivenUp = (photo) => photo.lost >= MOST_LOST;

const sizeOf = ({ size }) => (size < 1e6 ? `${Math.ceil(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`);

function formOf(photo) {
  const form = new FormData();
  for (const [name, value] of Object.entries(photo.fields)) if (value) form.append(name, value);
  form.append("images", photo.file, photo.name);
  return form;
}
