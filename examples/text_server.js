/**
 * A model's text over HTTP, sent as it is written: `GET /?prompt=Once&length=200&temperature=0.8&seed=1`.
 *
 * It knows requests and responses as every runtime has them, and nothing else; serve.js, node.js and workerd.js give it to theirs.
 *
 * @module
 */

/** Tokens of a text at most. */
const LONGEST = 4096;
/** Requests that wait for their turn, a model writing one text at a time; one more is told when to come again. */
const WAITING = 256;
/** Milliseconds without a sign of life after which one that waits is gone: in some runtimes all of a request ends with its client. */
const GONE = 2000;
/** Milliseconds for which a client may take no more of its text, and for which a model may be at work on its next piece. */
const TAKE = 30_000, WORK = 300_000;

const say = (text, status, headers = {}) => new Response(`${text}\n`, { status, headers });
const sleep = (ms) => new Promise((resume) => setTimeout(resume, ms));

/**
 * Makes the function that answers requests. It never rejects.
 *
 * @param {() => Promise<import("../mod.ts").OpenedModel>} open opens the model; called once, by the first request, and again where that
 * failed or the model's device was lost
 * @returns {(request: Request) => Promise<Response>}
 */
export function textServer(open) {
  /** Who waits, first first. */
  const line = [];
  let opening, writing, took = 1000;

  /** Waits until nobody is before and has the turn then; undefined where the client went away. Nothing is owed to one that is gone. */
  async function turn(signal) {
    const own = {
      seen: 0,
      end() {
        if (writing !== own) return;
        writing = undefined;
        took = Date.now() - own.begun;
        own.pieces?.return().catch(() => {});
      },
    };
    line.push(own);
    try {
      for (let before, seen;;) {
        const now = own.seen = Date.now(), [head] = line;
        // Gone since my last look, not only slow as all are while the model is at work.
        if (head === before && head.seen === seen && now - seen > GONE) line.shift();
        [before, seen] = [head, head.seen];
        if (head === own && writing && now > writing.until) writing.end();
        if (signal?.aborted) return undefined;
        if (head === own && !writing) {
          own.begun = now;
          return writing = own;
        }
        // Those at the end need not look often.
        await sleep(Math.min(5 * (line.indexOf(own) + 1), 250));
        // Taken for gone all the same.
        if (!line.includes(own)) line.push(own);
      }
    } finally {
      const at = line.indexOf(own);
      if (at >= 0) line.splice(at, 1);
    }
  }

  async function model() {
    return await (opening ??= open().catch((error) => {
      // Tried again by the next request.
      opening = undefined;
      throw error;
    }));
  }

  async function fail(error) {
    if (error?.name === "BackendError" && opening) {
      // The device was lost, and all that was on it.
      const lost = opening;
      opening = undefined;
      (await lost.catch(() => undefined))?.dispose();
    }
  }

  async function write(own, query, number) {
    const encoder = new TextEncoder();
    let first;
    own.until = Date.now() + WORK;
    try {
      own.pieces = (await model()).text({
        prompt: query.get("prompt") ?? "",
        length: number("length", 200),
        temperature: number("temperature", 1),
        topK: number("top-k", 0),
        topP: number("top-p", 1),
        seed: number("seed", 0),
      });
      // Options that are out of range show at the first piece.
      first = await own.pieces.next();
    } catch (error) {
      own.end();
      await fail(error);
      return say(error.message, error.name === "ConfigError" || error.name === "ShapeError" ? 400 : 500);
    }
    const body = new ReadableStream({
      async pull(controller) {
        own.until = Date.now() + WORK;
        try {
          // A turn for the runtime: what was written before is sent, other requests are heard.
          await sleep(0);
          if (writing !== own) throw new Error("the text was ended: nobody took more of it");
          const { value, done } = first ?? await own.pieces.next();
          first = undefined;
          if (!done) {
            own.until = Date.now() + TAKE;
            return controller.enqueue(encoder.encode(value));
          }
          own.end();
          controller.close();
        } catch (error) {
          own.end();
          await fail(error);
          controller.error(error);
        }
      },
      cancel: () => own.end(),
    });
    return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
  }

  return async ({ url, method, signal }) => {
    try {
      if (method !== "GET" && method !== "HEAD") return say("only GET and HEAD are answered", 405, { allow: "GET, HEAD" });
      const { pathname, searchParams: query } = new URL(url), number = (name, otherwise) => Number(query.get(name) ?? otherwise);
      if (pathname.startsWith("//")) return say("the request's address is none", 400);
      if (pathname !== "/") return say("texts are at /", 404);
      if (!(number("length", 200) <= LONGEST)) return say(`length must be at most ${LONGEST}`, 400);
      if (method === "HEAD") return new Response(null, { headers: { "content-type": "text/plain; charset=utf-8" } });
      if (line.length >= WAITING) {
        const wait = Math.min(600, Math.max(1, Math.ceil(line.length * took / 1000)));
        return say(`busy: ${WAITING} texts are waited for`, 503, { "retry-after": String(wait) });
      }
      const own = await turn(signal);
      return own ? await write(own, query, number) : say("the client went away", 499);
    } catch (error) {
      return say(error.message, error instanceof TypeError ? 400 : 500);
    }
  };
}
