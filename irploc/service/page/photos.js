// The photos that were asked about: each is sent in a request of its own, two at a time, and has a state of its own.

import { Problem, json } from "./api.js";

const AT_ONCE = 2;
const LONGEST_WAIT_S = 60;
const MOST_TRIES = 8;
const BUSY = new Set([429, 503, 504]);

/** Fires "change" with the photo as detail whenever one changes. */
export class Photos extends EventTarget {
  items = [];
  #running = 0;
  #counter = 0;

  /** Adds files and sends them with the given fields. */
  add(files, fields) {
    const added = [...files].map((file) => ({
      id: `photo-${++this.#counter}`,
      file,
      name: file.name || "pasted photo",
      url: URL.createObjectURL(file),
      fields,
      state: "queued", // queued, sending, busy, offline, refused, answered
      words: "waiting",
      answer: null,
      tries: 0,
    }));
    this.items.push(...added);
    added.forEach((photo) => this.#changed(photo));
    this.#next();
    return added;
  }

  /** Sends a photo once more, perhaps with other fields. */
  again(photo, fields = photo.fields) {
    if (photo.state === "queued" || photo.state === "sending") return;
    clearTimeout(photo.timer);
    Object.assign(photo, { fields, state: "queued", words: "waiting", answer: null, tries: 0 });
    this.#changed(photo);
    this.#next();
  }

  /** Takes a photo off the list. */
  remove(photo) {
    clearTimeout(photo.timer);
    photo.abort?.abort();
    URL.revokeObjectURL(photo.url);
    this.items = this.items.filter((other) => other !== photo);
    this.#changed(photo);
  }

  #next() {
    for (const photo of this.items) {
      if (this.#running >= AT_ONCE) return;
      if (photo.state === "queued") this.#send(photo);
    }
  }

  async #send(photo) {
    this.#running += 1;
    photo.tries += 1;
    photo.abort = new AbortController();
    this.#set(photo, "sending", `sending ${(photo.file.size / 1e6).toFixed(1)} MB, then waiting`);
    try {
      const { results } = await json("v1/localize", { method: "POST", body: formOf(photo), signal: photo.abort.signal });
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
    if (!(error instanceof Problem)) {
      if (error.name !== "AbortError") this.#set(photo, "refused", String(error.message));
    } else if (error.status === 0) {
      this.#set(photo, "offline", error.message);
    } else if (BUSY.has(error.status) && photo.tries < MOST_TRIES) {
      this.#wait(photo, Math.min(error.retryAfter ?? 2, LONGEST_WAIT_S));
    } else {
      this.#set(photo, "refused", error.message);
    }
  }

  /** Counts the seconds down for people to see, then sends again. */
  #wait(photo, seconds) {
    if (seconds <= 0) {
      this.#set(photo, "queued", "waiting");
      this.#next();
      return;
    }
    this.#set(photo, "busy", `the service is busy, again in ${seconds} s`);
    photo.timer = setTimeout(() => this.#wait(photo, seconds - 1), 1000);
  }

  #set(photo, state, words) {
    Object.assign(photo, { state, words });
    this.#changed(photo);
  }

  #changed(photo) {
    this.dispatchEvent(new CustomEvent("change", { detail: photo }));
  }
}

function formOf(photo) {
  const form = new FormData();
  for (const [name, value] of Object.entries(photo.fields)) if (value) form.append(name, value);
  form.append("images", photo.file, photo.name);
  return form;
}
