/**
 * Stop strings: where a text that comes in pieces is to end.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { type Codec, encodeText } from "./text.ts";

/** Lets bytes through up to the first stop string that comes to its end; what may be the beginning of one is held back. */
export class StopStrings {
  readonly #stops: readonly Uint8Array[];
  #held: number[] = [];
  #stopped = false;

  /**
   * Looks for any of some strings.
   *
   * @throws {ConfigError} where they are not a list of strings of at least one character
   */
  constructor(stops: readonly string[]) {
    expect("Cannot look for stop strings", { stops: [stops, { each: { form: /[^]/, words: "a string of at least one character" } }] });
    this.#stops = stops.map(encodeText);
  }

  /** Whether a stop string has come: nothing follows. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Of what was held back and these bytes, those that are before every stop string. How a text is cut into pieces changes nothing. */
  push(bytes: Uint8Array): number[] {
    expect("Cannot look for stop strings", { bytes: [bytes, "an array of bytes"] });
    const free: number[] = [];
    for (const byte of bytes) {
      if (this.#stopped) break;
      this.#held.push(byte);
      // Of strings that end here the longest is the one that began first.
      const whole = Math.max(0, ...this.#stops.map((stop) => this.#endsWith(stop, stop.length) ? stop.length : 0));
      this.#stopped = whole > 0;
      const begun = Math.max(0, ...this.#stops.map((stop) => this.#begunOf(stop)));
      free.push(...this.#held.splice(0, this.#held.length - (whole || begun)));
      if (this.#stopped) this.#held = [];
    }
    return free;
  }

  /** What is still held back when the text ends without a stop string. */
  end(): number[] {
    return this.#held.splice(0);
  }

  /** Whether what is held back ends with the first `count` bytes of a stop string. */
  #endsWith(stop: Uint8Array, count: number): boolean {
    const from = this.#held.length - count;
    if (from < 0) return false;
    for (let at = 0; at < count; at++) if (this.#held[from + at] !== stop[at]) return false;
    return true;
  }

  /** How many of a stop string's first bytes, not all, may be what is held back's end. */
  #begunOf(stop: Uint8Array): number {
    let count = Math.min(stop.length - 1, this.#held.length);
    while (count > 0 && !this.#endsWith(stop, count)) count--;
    return count;
  }
}

/** What is known to be before every stop string. */
export interface LetThrough {
  /** Bytes of the text. */
  readonly bytes: readonly number[];
  /** Tokens that are wholly before it. */
  readonly tokens: readonly number[];
}

/** {@linkcode StopStrings} over tokens: lets bytes through, and tokens once all of their bytes are. */
export class StopTokens {
  readonly #stop: StopStrings;
  /** Tokens with bytes that may be of a stop string, and how many of the first one's are known not to be. */
  readonly #held: { readonly token: number; readonly bytes: number }[] = [];
  #free = 0;

  /**
   * Looks for any of some strings, or none, in what tokens stand for.
   *
   * @throws {ConfigError} where they are not a list of strings of at least one character
   */
  constructor(
    /** What tokens stand for. */
    readonly codec: Codec,
    stops: readonly string[],
  ) {
    this.#stop = new StopStrings(stops);
  }

  /** Whether a stop string has come: nothing follows. */
  get stopped(): boolean {
    return this.#stop.stopped;
  }

  /**
   * Takes a token.
   *
   * @throws {ConfigError} where it is not in the vocabulary
   */
  push(token: number): LetThrough {
    const own = this.codec.decode([token]), bytes = this.#stop.push(own), tokens: number[] = [];
    this.#held.push({ token, bytes: own.length });
    this.#free += bytes.length;
    for (let first; (first = this.#held[0]) && this.#free >= first.bytes;) {
      this.#free -= first.bytes;
      tokens.push(this.#held.shift()!.token);
    }
    return { bytes, tokens };
  }

  /** What is still held back when the tokens end; nothing after a stop string. */
  end(): LetThrough {
    return { bytes: this.#stop.end(), tokens: this.stopped ? [] : this.#held.map(({ token }) => token) };
  }
}
