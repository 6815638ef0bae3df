// Types of the parts of Deno's std that this project uses: npm:deno-std ships none. A faithful subset.

declare module "npm:deno-std@1.4.0/assert/mod.js" {
  export class AssertionError extends Error {}
  export function assert(condition: unknown, message?: string): asserts condition;
  export function assertEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, message?: string): void;
  export function assertStringIncludes(actual: string, expected: string, message?: string): void;
  export function assertMatch(actual: string, expected: RegExp, message?: string): void;
  // deno-lint-ignore no-explicit-any
  type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    errorClass?: ErrorClass<E>,
    includes?: string,
    message?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    errorClass?: ErrorClass<E>,
    includes?: string,
    message?: string,
  ): Promise<E>;
}

declare module "npm:deno-std@1.4.0/cli/parse_args.js" {
  export interface ParseOptions<B extends string, S extends string, D> {
    boolean?: readonly B[];
    string?: readonly S[];
    collect?: readonly S[];
    negatable?: readonly string[];
    default?: D;
    unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }
  /** Precise where the flags' names are known when compiling. */
  type Flags<B extends string, S extends string, D> = string extends B | S ? { [flag: string]: unknown }
    : { [K in B]: boolean } & { [K in Exclude<S, keyof D>]?: string } & { [K in S & keyof D]: string };
  export function parseArgs<B extends string = never, S extends string = never, D = unknown>(
    args: readonly string[],
    options?: ParseOptions<B, S, D>,
  ): { _: string[] } & Flags<B, S, D>;
}

declare module "npm:deno-std@1.4.0/text/closest_string.js" {
  export function closestString(givenWord: string, possibleWords: readonly string[]): string;
}

declare module "npm:deno-std@1.4.0/text/levenshtein_distance.js" {
  export function levenshteinDistance(str1: string, str2: string): number;
}

declare module "npm:deno-std@1.4.0/streams/text_line_stream.js" {
  export class TextLineStream extends TransformStream<string, string> {}
}
