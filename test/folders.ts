/**
 * Folders of their own for tests of files.
 *
 * @module
 */

/** Gives a folder, which is removed when its use, or what that promises, is over. */
export function withFolder<T>(use: (path: string) => T): T {
  const path = Deno.makeTempDirSync(), remove = () => Deno.removeSync(path, { recursive: true });
  let result: T;
  try {
    result = use(path);
  } catch (error) {
    remove();
    throw error;
  }
  if (result instanceof Promise) return result.finally(remove) as T;
  remove();
  return result;
}

/** Names of what is in a folder. */
export const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();

/** What writes that were under way have left in it. */
export const leftovers = (path: string) => names(path).filter((name) => name.endsWith(".tmp"));
