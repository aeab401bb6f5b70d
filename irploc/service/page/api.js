// Requests to the service this page came from, with a token where it asks for one.

const KEY = "irploc-token";
const pictures = new Map(); // path -> promise of a blob URL
const MOST_PICTURES = 300;
const LONGEST_PROBE_MS = 5000;
let asking = null;

/** Fires "lacking", with the path as detail, where the service has not what it was asked for. */
export const service = new EventTarget();

/** An answer that is none: what the service says of it, in words. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, code, retryAfter });
  }

  /** Whether the service was not reached, be it that a proxy before it says so. */
  get isUnreached() {
    return this.status === 0 || this.status === 502;
  }
}

/** fetch below the page's own folder; asks for a token as often as the service does. Throws Problem; status 0 is no answer. */
export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let answer;
    try {
      answer = await fetch(new URL(path, document.baseURI), { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "no_connection", "The service does not answer.");
    }
    if (answer.status === 401) {
      await tokenOtherThan(token);
      continue;
    }
    if (answer.status === 404) service.dispatchEvent(new CustomEvent("lacking", { detail: path }));
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

/** The content of an answer; one that breaks off is none. */
export async function json(path, options) {
  const answer = await request(path, options);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no_connection", "The answer broke off.");
  }
}

/** Whether the service answers at all, be it that it is loading. */
export async function isThere() {
  try {
    await request("readyz", { signal: AbortSignal.timeout(LONGEST_PROBE_MS) });
    return true;
  } catch (error) {
    return error instanceof Problem && !error.isUnreached;
  }
}

/** A picture as a URL for <img>, fetched once. */
export function picture(path) {
  if (!pictures.has(path)) {
    const loading = request(path).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob));
    loading.catch(() => pictures.delete(path));
    pictures.set(path, loading);
    if (pictures.size > MOST_PICTURES) forget(pictures.keys().next().value);
  }
  return pictures.get(path);
}

function forget(path) {
  pictures.get(path).then(URL.revokeObjectURL, () => {});
  pictures.delete(path);
}

async function problemOf(answer) {
  const after = Number(answer.headers.get("Retry-After")) || null;
  try {
    const { code, detail } = await answer.json();
    return new Problem(answer.status, code ?? "error", detail ?? answer.statusText, after);
  } catch {
    return new Problem(answer.status, "error", `The service answered ${answer.status} ${answer.statusText}`.trim(), after);
  }
}

function tokenOtherThan(wrong) {
  if (sessionStorage.getItem(KEY) !== wrong) return null; // somebody typed one meanwhile
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const field = document.getElementById("token");
    const hint = document.getElementById("token-hint");
    hint.textContent = wrong ? "That token is not the right one." : "Whoever runs it has it. It is kept until this tab is closed.";
    hint.className = wrong ? "wrong small" : "quiet small";
    field.value = "";
    dialog.oncancel = (event) => event.preventDefault();
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, field.value.trim());
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}
