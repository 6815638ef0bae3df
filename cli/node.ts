/**
 * What the command line uses of Deno, made of what Node has: the package for npm is bundled with it in Deno's place. Whatever is used of
 * Deno in this folder must be here: `deno task check` looks at it once more with these names alone (node.json), and with no library feature
 * that Node 20 has not.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import * as tty from "node:tty";

/** A place by its path, or by its URL. */
type Place = string | URL;

/** Which failures of the system a class of Deno's stands for. */
const failure = (...codes: string[]) => ({
  [Symbol.hasInstance]: (error: unknown) => error instanceof Error && codes.includes((error as { code?: string }).code ?? ""),
});

/** A stream that a process has from the beginning. */
class Standard {
  constructor(readonly fd: number) {}

  isTerminal(): boolean {
    return tty.isatty(this.fd);
  }

  writeSync(bytes: Uint8Array): number {
    for (;;) {
      try {
        return fs.writeSync(this.fd, bytes);
      } catch (error) {
        // Whoever started this process made the pipe one that waits for nobody.
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
  }
}

function described(found: fs.Stats) {
  return {
    isFile: found.isFile(),
    isDirectory: found.isDirectory(),
    isSymlink: found.isSymbolicLink(),
    isFifo: found.isFIFO(),
    isSocket: found.isSocket(),
    isCharDevice: found.isCharacterDevice(),
    isBlockDevice: found.isBlockDevice(),
    size: found.size,
    mtime: found.mtime,
    dev: found.dev,
    ino: found.ino,
  };
}

/** At most so many bytes are read or written at once: more than 2 GiB are refused. */
const AT_ONCE = 2 ** 30;

/** What is known of a file. */
export type FileInfo = ReturnType<typeof described>;

/** What a folder holds. */
export interface DirEntry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly isSymlink: boolean;
}

/** An open file. */
export class File implements Disposable {
  /** Where the next read begins, once it was said. */
  #at: number | null = null;
  #lock: number | undefined;

  constructor(readonly fd: number, readonly path: Place) {}

  readSync(bytes: Uint8Array): number | null {
    const read = fs.readSync(this.fd, bytes, 0, Math.min(bytes.length, AT_ONCE), this.#at);
    if (this.#at !== null) this.#at += read;
    return read || null;
  }

  writeSync(bytes: Uint8Array): number {
    return fs.writeSync(this.fd, bytes, 0, Math.min(bytes.length, AT_ONCE));
  }

  /** @param _whence from the beginning, which is all that is asked for */
  seekSync(offset: number, _whence: number): void {
    this.#at = offset;
  }

  syncSync(): void {
    fs.fsyncSync(this.fd);
  }

  stat(): Promise<FileInfo> {
    return Promise.resolve(described(fs.fstatSync(this.fd)));
  }

  /** What is left of it, to its end, where it is closed. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { fd } = this;
    return new ReadableStream({
      async pull(controller) {
        const bytes = new Uint8Array(2 ** 16);
        const read = await new Promise<number>((resolve, reject) =>
          fs.read(fd, bytes, 0, bytes.length, null, (error, read) => error ? reject(error) : resolve(read))
        );
        if (read > 0) return controller.enqueue(bytes.subarray(0, read));
        fs.closeSync(fd);
        controller.close();
      },
      cancel: () => fs.closeSync(fd),
    });
  }

  /**
   * Locks it for this process alone, as Deno does; whether it could. The lock goes with the file, however the process ends. Node has no
   * such call. On Linux `flock` locks an open file that it is handed, and the lock stays when it has ended; elsewhere opening it does.
   */
  tryLockSync(_exclusive: boolean): boolean {
    if (process.platform === "linux") {
      const { status, error } = spawnSync("flock", ["-xn", "3"], { stdio: ["ignore", "ignore", "ignore", this.fd] });
      // Where there is no such program a run is as safe, but for two processes in one folder.
      return error ? true : status !== 1;
    }
    try {
      // O_EXLOCK with O_NONBLOCK on macOS, libuv's UV_FS_O_EXLOCK on Windows.
      this.#lock = fs.openSync(this.path, process.platform === "win32" ? fs.constants.O_RDWR | 0x1000_0000 : fs.constants.O_RDWR | 0x24);
      return true;
    } catch (error) {
      if (["EAGAIN", "EWOULDBLOCK", "EBUSY"].includes((error as { code?: string }).code ?? "")) return false;
      throw error;
    }
  }

  close(): void {
    fs.closeSync(this.fd);
    if (this.#lock !== undefined) fs.closeSync(this.#lock);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** How a file is opened. */
interface Opening {
  readonly write?: boolean;
  readonly create?: boolean;
  readonly createNew?: boolean;
}

function openSync(path: Place, { write, create, createNew }: Opening = {}): File {
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL } = fs.constants;
  return new File(fs.openSync(path, (write ? O_WRONLY : O_RDONLY) | (create || createNew ? O_CREAT : 0) | (createNew ? O_EXCL : 0)), path);
}

/** All of a file, in an array of its own. */
function readFileSync(path: Place): Uint8Array<ArrayBuffer> {
  using file = openSync(path);
  const { size } = fs.fstatSync(file.fd), bytes = new Uint8Array(size);
  let at = 0;
  for (let read; at < size && (read = file.readSync(bytes.subarray(at))) !== null;) at += read;
  // Files of /proc say 0 and have bytes.
  return at < size ? bytes.slice(0, at) : size > 0 ? bytes : Uint8Array.from(fs.readFileSync(file.fd));
}

const SYSTEMS: Readonly<Record<string, string>> = { win32: "windows" };

/** In Deno's place. */
export const Deno = {
  args: process.argv.slice(2),
  build: { os: SYSTEMS[process.platform] ?? process.platform },
  // No other program of this kind is named in messages.
  version: { deno: "" },
  noColor: !!process.env.NO_COLOR,
  env: {
    get: (name: string): string | undefined => process.env[name],
    set: (name: string, value: string): void => void (process.env[name] = value),
  },
  errors: {
    NotFound: failure("ENOENT"),
    NotADirectory: failure("ENOTDIR"),
    BrokenPipe: failure("EPIPE"),
  },
  SeekMode: { Start: 0 },
  stdin: new Standard(0),
  stdout: new Standard(1),
  stderr: new Standard(2),
  cwd: (): string => process.cwd(),
  execPath: (): string => process.execPath,
  exit: (code?: number): never => process.exit(code),
  consoleSize(): { columns: number } {
    // Not of what is no terminal: looking at it would make a pipe one that waits for nobody.
    for (const [fd, stream] of [[1, "stdout"], [2, "stderr"]] as const) if (tty.isatty(fd)) return { columns: process[stream].columns };
    throw new Error("no stream is a terminal");
  },
  addSignalListener: (name: string, hear: () => void): void => void process.on(name as NodeJS.Signals, hear),
  removeSignalListener: (name: string, hear: () => void): void => void process.off(name as NodeJS.Signals, hear),
  readFileSync,
  readTextFileSync: (path: Place): string => new TextDecoder().decode(readFileSync(path)),
  writeFileSync: (path: Place, bytes: Uint8Array, { append = false } = {}): void =>
    fs.writeFileSync(path, bytes, { flag: append ? "a" : "w" }),
  open: (path: Place): Promise<File> => Promise.resolve(openSync(path)),
  openSync,
  statSync: (path: Place) => described(fs.statSync(path)),
  lstatSync: (path: Place) => described(fs.lstatSync(path)),
  realPathSync: (path: Place): string => fs.realpathSync(path),
  readDirSync: (path: Place): IterableIterator<DirEntry> =>
    fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
      name: entry.name,
      isFile: entry.isFile(),
      isDirectory: entry.isDirectory(),
      isSymlink: entry.isSymbolicLink(),
    })).values(),
  mkdirSync: (path: Place, { recursive = false } = {}): void => void fs.mkdirSync(path, { recursive }),
  removeSync: (path: Place, { recursive = false } = {}): void => fs.rmSync(path, { recursive }),
  renameSync: (from: Place, to: Place): void => fs.renameSync(from, to),
};
