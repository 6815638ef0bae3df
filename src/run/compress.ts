/**
 * Data as what a model did not know of it: arithmetic coding with the model's probabilities, and back.
 *
 * @module
 */

import { type Allowed, expect, MOST, whole } from "../base/check.ts";
import { sha256 } from "../base/digest.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { crc32, hex } from "../data/crc32.ts";
import { Counts, RangeDecoder, RangeEncoder } from "../data/range_coder.ts";
import type { TokenArray } from "../data/text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { codecOf } from "../files/codec.ts";
import { formatConfig } from "../files/model_config.ts";
import { checkNext } from "../files/objective.ts";
import { compileWith } from "../model/compile.ts";
import { type DecodingProgram, decodingProgram } from "../model/decode.ts";
import type { Parameters } from "../model/parameters.ts";
import { CHOICE, type Engine, type Executable, type Tensor } from "../ops/mod.ts";
import { memoryOf } from "../pattern/memory.ts";
import type { MemoryDecoder } from "./decode_memory.ts";
import { cachePlans } from "./sample.ts";
import { type Window, Windows } from "./windows.ts";

/** What compresses: an {@linkcode ./open.ts!OpenedModel}, or parameters that are on an engine. */
export interface Compressing {
  /** Where the model is. */
  readonly engine: Engine;
  /** The model. */
  readonly params: Parameters;
  /** What its tokens stand for, where they are not bytes. */
  readonly tokenizer?: Tokenizer;
}

/** How far it is. */
export interface CompressProgress {
  /** Tokens done. */
  readonly tokens: number;
  /** Tokens in all. */
  readonly of: number;
  /** Mean bits per token so far by the model's probabilities; of what is decompressed 0. */
  readonly bits: number;
  /** Tokens done per second. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at that rate. */
  readonly secondsLeft: number;
}

/** How both ways are watched and given up. */
export interface DecompressOptions {
  /** Gives up between two positions; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told now and then. */
  readonly onProgress?: (progress: CompressProgress) => void;
}

/** Choices of {@linkcode compress}. */
export interface CompressOptions extends DecompressOptions {
  /**
   * Tokens that each token has before it where there are so many, 0 to n_ctx − 1. Of 0, the default, each n_ctx tokens begin anew, and
   * several such windows go through the model side by side; of more, windows overlap and follow one another, which takes longer.
   */
  readonly minContext?: number;
  /** Windows side by side: at most so many; default 32, and 1 where windows overlap. */
  readonly batch?: number;
}

/** What {@linkcode compress} made. */
export interface Compressed {
  /** The file. */
  readonly file: Uint8Array<ArrayBuffer>;
  /** Bytes of it that are not the data's: what must be known to read it. */
  readonly header: number;
  /** Tokens of the data. */
  readonly tokens: number;
  /** −Σ log₂ of the probability of each token: what `evaluate` reports, times the tokens. The file is this and its header, to some bytes. */
  readonly bits: number;
}

/** What a compressed file says of itself, see {@linkcode compressedHeader}. */
export interface CompressedHeader {
  /** The engine that it was made on, and can be read on. */
  readonly engine: Engine["name"];
  /** The first 16 hexadecimal digits of the model's SHA-256. */
  readonly model: string;
  /** Bytes of the data. */
  readonly bytes: number;
  /** Tokens of the data. */
  readonly tokens: number;
  /** Windows side by side. */
  readonly batch: number;
  /** See {@linkcode CompressOptions.minContext}. */
  readonly minContext: number;
}

/** A header with what its reader alone looks at. */
interface Header extends CompressedHeader {
  /** CRC-32 of what the engine calls its device. On the CPU kernels compute alike everywhere, on whatever number of threads: 0. */
  readonly device: number;
  /** CRC-32 of the logits of some positions: other kernels, drivers and tunings that compute otherwise show here. */
  readonly probe: number;
  /** The first 16 hexadecimal digits of the data's SHA-256. */
  readonly data: string;
}

/** What a file begins with; the last byte is the format's version. */
const MAGIC = [0x4c, 0x53, 0x43, 1], ENGINES: readonly Engine["name"][] = ["reference", "wasm", "webgpu"];

/** Windows side by side: of more, a step takes as long as its rows, so that no time is won. */
const BATCH = 32;

/** What the fields of {@linkcode CompressOptions} may be, beside a minimum context below n_ctx. */
export const COMPRESS_FIELDS: Readonly<Record<"batch" | "minContext", Allowed>> = { batch: whole(1, 4096), minContext: whole(0) };

const bytesOf = (digits: string) => digits.match(/../g)!.map((pair) => parseInt(pair, 16));
const wordOf = (word: number) => bytesOf(hex(word));

/** A whole number in as many bytes as it needs, seven bits each. */
function varint(number: number): number[] {
  return number < 128 ? [number] : [128 + number % 128, ...varint(Math.floor(number / 128))];
}

/** The file of a header and what is coded. */
function fileOf(header: Header, coded: Uint8Array): Uint8Array<ArrayBuffer> {
  const { engine, model, device, probe, data, bytes, tokens, batch, minContext } = header;
  const rest = new Uint8Array([
    ENGINES.indexOf(engine),
    ...bytesOf(model),
    ...wordOf(device),
    ...wordOf(probe),
    ...bytesOf(data),
    ...[bytes, tokens, batch, minContext].flatMap(varint),
  ]);
  const file = new Uint8Array(8 + rest.length + coded.length);
  file.set(rest, 8);
  file.set(coded, 8 + rest.length);
  file.set([...MAGIC, ...wordOf(crc32(file.subarray(8)))]);
  return file;
}

/** Reads a file's header. */
function parse(file: Uint8Array): Header & { coded: Uint8Array } {
  const cannot = "Cannot decompress";
  expect(cannot, { file: [file, "an array of bytes"] });
  if (file.length < 4 || MAGIC.slice(0, 3).some((byte, at) => file[at] !== byte)) {
    throw new DataError(`${cannot}: this is no file that compress made`);
  }
  if (file[3] !== MAGIC[3]) {
    throw new DataError(`${cannot}: the file has version ${file[3]} of the format, read is ${MAGIC[3]}; use the version that made it`);
  }
  const word = (at: number) => new DataView(file.buffer, file.byteOffset).getUint32(at), SIZES = 33;
  if (file.length < SIZES + 4 || word(4) !== crc32(file.subarray(8))) {
    throw new DataError(`${cannot}: the file is damaged or cut short, its checksum is another; get it again from where it came`);
  }
  let at = SIZES;
  const number = () => {
    let value = 0, unit = 1;
    for (; file[at] >= 128; unit *= 128) value += (file[at++] - 128) * unit;
    return value + file[at++] * unit;
  };
  const digits = (from: number) => hex(word(from)) + hex(word(from + 4));
  const [bytes, tokens, batch, minContext] = [number(), number(), number(), number()];
  const fixed = { engine: ENGINES[file[8]], model: digits(9), device: word(17), probe: word(21), data: digits(25) };
  return { ...fixed, bytes, tokens, batch, minContext, coded: file.subarray(at) };
}

/**
 * What a compressed file says of itself.
 *
 * @throws {DataError} where it is none, or is damaged
 */
export function compressedHeader(file: Uint8Array): CompressedHeader {
  const { engine, model, bytes, tokens, batch, minContext } = parse(file);
  return { engine, model, bytes, tokens, batch, minContext };
}

/** The first digits of a model's SHA-256: of its configuration, its tokenizer and every number of its weights, on whatever engine they are. */
async function modelDigest({ engine, params, tokenizer }: Compressing): Promise<string> {
  const digests = [formatConfig(params.config), tokenizer?.toJson() ?? ""];
  for (const t of params.all) {
    const numbers = await engine.read(t);
    // The reference engine keeps float64 of the same numbers.
    const bytes = new Uint8Array((t.dtype === "i8" ? Int8Array.from(numbers) : Float32Array.from(numbers)).buffer);
    digests.push(t.name, await sha256(bytes));
  }
  return (await sha256(new TextEncoder().encode(digests.join("\n")))).slice(0, 16);
}

/** Nothing of a GPU's arithmetic is promised, so its name is part of what a file needs; threads of the CPU change nothing. */
const deviceOf = ({ name, description }: Engine) => name === "webgpu" ? crc32(new TextEncoder().encode(description)) : 0;

/** Position by position, both ways the same operations on the same tensors: the decoding program, each token written to its tape. */
class Walk {
  #rested = performance.now();

  private constructor(
    private readonly engine: Engine,
    private readonly params: Parameters,
    private readonly batch: number,
    private readonly decoding: DecodingProgram,
    private readonly executable: Executable,
    private readonly tensors: readonly Tensor[],
    private readonly memory: MemoryDecoder | undefined,
  ) {}

  static async create({ engine, params }: Compressing, batch: number): Promise<Walk> {
    const plans = await cachePlans(params.config),
      decoding = decodingProgram(params, batch, plans),
      memory = memoryOf(params.config.attention);
    const { state, logits, caches, constants, program } = decoding;
    const tensors = [...Object.values(state), logits, ...constants.keys(), ...caches.flatMap(Object.values)];
    const executable = await compileWith(engine, program, tensors, constants);
    try {
      const between = memory &&
        await (await import("./decode_memory.ts")).MemoryDecoder.create(engine, params, batch, memory, plans, caches);
      return new Walk(engine, params, batch, decoding, executable, tensors, between);
    } catch (error) {
      executable.dispose();
      engine.free(tensors);
      throw error;
    }
  }

  /**
   * Goes through `positions` positions of every sequence.
   *
   * @param token answers the token of a sequence at a position, with the logits there
   * @param known positions whose logits are not wanted, the first ones
   */
  async through(
    positions: number,
    known: number,
    token: (sequence: number, position: number, logits: ArrayLike<number>) => number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { engine, batch, params: { config: { n_ctx, vocab_size } }, decoding: { state, logits }, memory } = this;
    const tape = new Uint32Array(n_ctx * batch), none: number[] = [];
    signal?.throwIfAborted();
    engine.write(state.position, Uint32Array.of(0));
    // Nothing is chosen by the engine.
    engine.write(state.given, Uint32Array.of(n_ctx));
    engine.write(state.choice, Float32Array.from(CHOICE, (name) => name === "topK" || name === "minP" ? 0 : 1));
    engine.write(state.seeds, new Uint32Array(2));
    for (let i = 0; i < positions; i++) {
      engine.write(state.tape, tape);
      if (memory && i > 0 && i % memory.stride === 0) await memory.before(i);
      await this.executable.run();
      const all = i < known ? none : checkComputed(await engine.read(logits), "Cannot compress", `after position ${i} the logits`, engine);
      for (let b = 0; b < batch; b++) {
        const row = i < known ? none : (all as Float32Array).subarray(b * vocab_size, (b + 1) * vocab_size);
        tape[i * batch + b] = token(b, i, row);
      }
      if (performance.now() - this.#rested < 50) continue;
      // Lets signals, timers and a page's frames run.
      await new Promise((resume) => setTimeout(resume, 0));
      signal?.throwIfAborted();
      this.#rested = performance.now();
    }
  }

  /** CRC-32 of the logits of some positions after tokens that are the same for all models. */
  async probe(): Promise<number> {
    const { n_ctx, vocab_size } = this.params.config;
    let crc = 0;
    await this.through(Math.min(n_ctx, 16), 0, (b, i, logits) => {
      crc = crc32(new Uint8Array(Float32Array.from(logits).buffer), crc);
      return (31 * i + 17 * b) % vocab_size;
    });
    return crc;
  }

  dispose(): void {
    this.memory?.dispose();
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}

/** Goes through all windows, as many side by side as the walk has sequences. */
async function windowByWindow(
  walk: Walk,
  { n_ctx, tokens, batch, minContext }: { n_ctx: number; tokens: number; batch: number; minContext: number },
  before: ArrayLike<number>,
  token: (at: number, logits: ArrayLike<number>) => number,
  { signal, onProgress }: DecompressOptions,
  bits: () => number,
): Promise<void> {
  const windows = new Windows(tokens, n_ctx, minContext), begun = performance.now();
  let done = 0, told = begun;
  for (let first = 0; tokens > 0 && first < windows.count; first += batch) {
    const round: Window[] = [];
    for (let which = first; which < Math.min(windows.count, first + batch); which++) round.push(windows.at(which));
    const [{ from, end, first: fresh }] = round;
    await walk.through(end - from, fresh - from, (b, i, logits) => {
      const window = round[b], at = window ? window.from + i : tokens;
      // Sequences that have ended go on with anything.
      if (!window || at >= window.end) return 0;
      if (at < window.first) return before[at];
      const made = token(at, logits), now = performance.now();
      done++;
      if (onProgress && (now - told > 200 || done === tokens)) {
        told = now;
        const tokensPerSecond = done / Math.max(1e-9, (now - begun) / 1000);
        onProgress({ tokens: done, of: tokens, bits: bits() / done, tokensPerSecond, secondsLeft: (tokens - done) / tokensPerSecond });
      }
      return made;
    }, signal);
  }
}

/** @throws {ConfigError} where the model is none, or sees what is to be predicted */
function checkModel(cannot: string, model: Compressing): void {
  expect(cannot, { model: [model, "an object"] });
  expect(cannot, { engine: [model.engine, "an engine"], params: [model.params, "an object"] });
  checkNext(model.params.config, cannot === "Cannot compress" ? "compress" : "decompress");
}

/** @throws {DataError} where the model has no token for a byte */
async function tokensOf(model: Compressing, data: Uint8Array): Promise<TokenArray> {
  const { vocab_size } = model.params.config, codec = codecOf({ config: model.params.config, tokenizer: model.tokenizer }, "compress");
  const tokens = await codec.encode(data), odd = tokens.findIndex((token) => token >= vocab_size);
  if (odd < 0) return tokens;
  throw new DataError(
    `Cannot compress: byte ${odd} of the data is ${tokens[odd]}, and the model has tokens for 0 to ${vocab_size - 1} alone; ` +
      "use a model of what is in the data",
  );
}

/**
 * Compresses data with a model: to the bits that the model needs for it, and some 40 bytes.
 *
 * Both ways run the same decoding program, a position of up to {@linkcode CompressOptions.batch} windows at a time, so that they have the
 * same probabilities to the last bit: on the same engine, and of a GPU on the same device with the same driver and tuning. The number of
 * threads changes nothing.
 *
 * @param model of bytes, or of what its tokenizer makes of them; whatever was trained on, each byte is one the model has a token for
 * @throws {ConfigError} where an option is out of range, or the model is not causal
 * @throws {DataError} where the model has no token for a byte
 * @throws {DivergedError} where the model's logits are not finite
 * @throws {OutOfMemoryError} where caches of so many windows do not fit
 *
 * @example
 * ```ts
 * import { compress, decompress, encodeText, openModel } from "../../mod.ts";
 * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "wasm", threads: 1 });
 * const { file } = await compress(model, encodeText("to be or not to be"));
 * console.log(file.length, new TextDecoder().decode(await decompress(model, file)));
 * model.dispose();
 * ```
 */
export async function compress(model: Compressing, data: Uint8Array, options: CompressOptions = {}): Promise<Compressed> {
  const cannot = "Cannot compress";
  expect(cannot, { data: [data, "an array of bytes"], options: [options, "an object"] });
  checkModel(cannot, model);
  const { n_ctx, vocab_size } = model.params.config, { minContext = 0, batch: most = minContext === 0 ? BATCH : 1 } = options;
  expect(cannot, { minContext: [minContext, [0, n_ctx - 1]], batch: [most, COMPRESS_FIELDS.batch] });
  if (minContext > 0 && most > 1) {
    throw new ConfigError(`${cannot}: windows that overlap follow one another, so batch must be 1 with minContext ${minContext}`);
  }
  const tokens = await tokensOf(model, data), windows = Math.max(1, Math.ceil(tokens.length / n_ctx));
  // So many that the last round is about as full as the others.
  const batch = minContext > 0 ? 1 : Math.ceil(windows / Math.ceil(windows / most)), walk = await Walk.create(model, batch);
  try {
    const digest = await modelDigest(model), probe = await walk.probe(), counts = new Counts(vocab_size), coder = new RangeEncoder();
    let bits = 0;
    const plan = { n_ctx, tokens: tokens.length, batch, minContext };
    await windowByWindow(
      walk,
      plan,
      tokens,
      (at, logits) => {
        counts.set(logits);
        bits += counts.bits(tokens[at]);
        counts.write(coder, tokens[at]);
        return tokens[at];
      },
      options,
      () => bits,
    );
    const coded = tokens.length > 0 ? coder.end() : new Uint8Array(0);
    const header: Header = {
      ...{ engine: model.engine.name, model: digest, device: deviceOf(model.engine), probe, data: await shortDigest(data) },
      ...{ bytes: data.length, tokens: tokens.length, batch, minContext },
    };
    const file = fileOf(header, coded);
    return { file, header: file.length - coded.length, tokens: tokens.length, bits };
  } finally {
    walk.dispose();
  }
}

const shortDigest = async (data: Uint8Array) => (await sha256(Uint8Array.from(data))).slice(0, 16);

/** Refuses what would come out as something else. */
async function checkFits(model: Compressing, { engine, device, model: digest }: Header): Promise<void> {
  const cannot = "Cannot decompress", { name, description } = model.engine;
  if (engine !== name) {
    throw new ConfigError(
      `${cannot}: the file was made on engine ${engine}, this is ${name}, and their last bits differ; give --backend ${engine}`,
    );
  }
  if (device !== deviceOf(model.engine)) {
    throw new ConfigError(`${cannot}: the file was made on another GPU than ${description}; decompress it there`);
  }
  const own = await modelDigest(model);
  if (digest !== own) {
    throw new ConfigError(
      `${cannot}: the file was made with the model whose SHA-256 begins with ${digest}, this one's with ${own}; give that model`,
    );
  }
}

/**
 * What {@linkcode compress} was given, to the last byte.
 *
 * @throws {DataError} where the file is none of compress, is damaged, or does not give what it was made of
 * @throws {ConfigError} where it was made with another model, or on another engine or device
 * @throws {DivergedError} where the model's logits are not finite
 */
export async function decompress(model: Compressing, file: Uint8Array, options: DecompressOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const cannot = "Cannot decompress";
  expect(cannot, { options: [options, "an object"] });
  checkModel(cannot, model);
  const header = parse(file), { n_ctx, vocab_size } = model.params.config, { batch, minContext, bytes } = header;
  await checkFits(model, header);
  const codec = codecOf({ config: model.params.config, tokenizer: model.tokenizer }, "decompress");
  expect(cannot, { batch: [batch, COMPRESS_FIELDS.batch], minContext: [minContext, [0, n_ctx - 1]], tokens: [header.tokens, [0, MOST]] });
  const walk = await Walk.create(model, batch);
  try {
    if (await walk.probe() !== header.probe) {
      throw new ConfigError(
        `${cannot}: this device computes other last bits than the one the file was made on; use the same version, driver and tuning`,
      );
    }
    const counts = new Counts(vocab_size), coder = new RangeDecoder(header.coded), tokens = new Uint16Array(header.tokens);
    await windowByWindow(
      walk,
      { n_ctx, tokens: tokens.length, batch, minContext },
      tokens,
      (at, logits) => {
        counts.set(logits);
        return tokens[at] = counts.read(coder);
      },
      options,
      () => 0,
    );
    const data = codec.decode(tokens);
    if (data.length === bytes && await shortDigest(data) === header.data) return data;
    throw new DataError(
      `${cannot}: what came out is not what was compressed, its SHA-256 is another: the device computed otherwise on the way; try again, ` +
        "and use the device and version that made the file",
    );
  } finally {
    walk.dispose();
  }
}
