/** Deno's names as Node has them, for `deno task check` of the command line: what is not in node.ts is an error there. */

declare const Deno: typeof import("./node.ts").Deno;

declare namespace Deno {
  type FsFile = import("./node.ts").File;
  type FileInfo = import("./node.ts").FileInfo;
  type DirEntry = import("./node.ts").DirEntry;
  type Signal = "SIGHUP" | "SIGINT" | "SIGTERM" | "SIGXFSZ";
}
