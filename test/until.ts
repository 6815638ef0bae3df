/**
 * Waiting for what comes, instead of for a time.
 *
 * @module
 */

/**
 * What `get` gives once it is so, looked at again and again; after two minutes as it is then, for the caller's assertion to tell.
 *
 * @param isSo by default whether it is truthy
 */
export async function until<T>(get: () => T | Promise<T>, isSo: (found: T) => boolean = Boolean): Promise<T> {
  const end = performance.now() + 120_000;
  let found = await get();
  while (!isSo(found) && performance.now() < end) {
    await new Promise((resume) => setTimeout(resume, 10));
    found = await get();
  }
  return found;
}
