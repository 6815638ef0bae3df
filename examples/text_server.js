/**
 * A model's text over HTTP, sent as it is written: `GET /?prompt=Once&length=200&temperature=0.8&seed=1`.
 *
 * It knows requests and responses as every runtime has them, and nothing else; serve.js, node.js and workerd.js give it to theirs.
 *
 * @module
 */

const LONGEST = 4096;

/**
 * Makes the function that answers requests.
 *
 * @param {() => Promise<import("../mod.ts").OpenedModel>} open opens the model; called once, by the first request
 * @returns {(request: Request) => Promise<Response>}
 */
export function textServer(open) {
  let opening, isBusy = false;
  return async (request) => {
    const query = new URL(request.url).searchParams, number = (name, otherwise) => Number(query.get(name) ?? otherwise);
    const length = number("length", 200);
    if (!(length <= LONGEST)) return new Response(`length must be at most ${LONGEST}\n`, { status: 400 });
    // A model writes one text at a time.
    if (isBusy) return new Response("busy with another text\n", { status: 503, headers: { "retry-after": "1" } });
    isBusy = true;
    const encoder = new TextEncoder();
    let pieces, first;
    try {
      // One that failed is tried again by the next request.
      const model = await (opening ??= open().catch((error) => {
        opening = undefined;
        throw error;
      }));
      pieces = model.text({
        prompt: query.get("prompt") ?? "",
        length,
        temperature: number("temperature", 1),
        topK: number("top-k", 0),
        topP: number("top-p", 1),
        seed: number("seed", 0),
      });
      // Options that are out of range show at the first piece.
      first = await pieces.next();
    } catch (error) {
      isBusy = false;
      const isOption = error.name === "ConfigError" || error.name === "ShapeError";
      return new Response(`${error.message}\n`, { status: isOption ? 400 : 500 });
    }
    const body = new ReadableStream({
      async pull(controller) {
        try {
          // A turn for the runtime: what was written before is sent, other requests are heard.
          await new Promise((resume) => setTimeout(resume, 0));
          const { value, done } = first ?? await pieces.next();
          first = undefined;
          if (!done) return controller.enqueue(encoder.encode(value));
          isBusy = false;
          controller.close();
        } catch (error) {
          isBusy = false;
          controller.error(error);
        }
      },
      async cancel() {
        await pieces.return();
        isBusy = false;
      },
    });
    return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
  };
}
