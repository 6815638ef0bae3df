/**
 * What the tests need beside Deno, Node and npm: found, or got, or left out with a reason.
 *
 * What is there is used. As root, Debian's packages are installed where apt-get is; otherwise npm carries what is missing, and it is kept
 * in the user's cache folder. What is about to be downloaded is said, with its size.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { cacheFolder, type Variable } from "../cli/tuning.ts";
import { ConfigError, LongstrideError, type PickOptions } from "../mod.ts";
import { type Need, NEEDS, parseNeeds } from "../test/needs.ts";
import { cause, executable, modulesOf, PATIENCE, PROGRAMS } from "../test/runtimes/npm.ts";

const ENVIRONMENT: Variable = (name) => Deno.env.get(name);

/** The machine, as far as it decides where things may come from. */
export interface Machine {
  readonly os: typeof Deno.build.os;
  readonly arch: typeof Deno.build.arch;
  readonly isRoot: boolean;
  readonly hasApt: boolean;
  readonly hasNpm: boolean;
  /** The user's cache folder. */
  readonly cache?: string;
  /** Whether npm's Chromium is in it. */
  readonly isKept: boolean;
}

/** Debian's packages, or npm's. */
export type Way = "debian" | "npm";

/** From where to get what is missing: the first first. None where it cannot be had. */
export function waysTo(need: Need, { os, arch, isRoot, hasApt, hasNpm, cache, isKept }: Machine): readonly Way[] {
  if (need === "torch" || need === "mpi") return os === "linux" && isRoot && hasApt ? ["debian"] : [];
  if (need !== "gpu" && need !== "browser") return hasNpm ? ["npm"] : [];
  if (os !== "linux") return [];
  const npm = arch === "x86_64" && cache !== undefined && (hasNpm || isKept), debian = isRoot && hasApt;
  if (npm && isKept) return ["npm"];
  // Debian's first: its software GPU is two to three times as fast.
  return [...debian ? ["debian"] as const : [], ...npm ? ["npm"] as const : []];
}

/** What the one who runs the tests can do about a missing need. */
export function remedy(need: Need, { os, arch, hasNpm, cache }: Machine): string {
  if (need === "torch") return "name a python3 that has it by LONGSTRIDE_PYTHON (pip install torch)";
  if (need === "mpi") return "install Open MPI (Debian: openmpi-bin)";
  if (need !== "gpu" && need !== "browser") return hasNpm ? "run it once with the network there" : "install Node.js with npm";
  const elsewhere = os === "linux" && arch === "x86_64"
    ? !cache ? "set HOME to a folder, or " : hasNpm ? "run it once with the network there, or " : "install Node.js with npm, or "
    : `npm carries none for ${os} on ${arch}: `;
  return elsewhere + (need === "gpu" ? "install a Vulkan driver (Debian: mesa-vulkan-drivers)" : "install Chromium or Chrome");
}

/**
 * Debian's package of Chromium without its windows, and the program: the web is the same. What a window shows around a page, drawn by the CPU,
 * takes three quarters of the time that a page takes: 0.8 s of CPU to open one, and 3.3 with a window.
 */
const SHELL = "chromium-headless-shell";

/** Where a browser may be: the one named, or those on the path, or where the system keeps programs. */
export function browserPaths(variable: Variable = ENVIRONMENT, os: typeof Deno.build.os = Deno.build.os): readonly string[] {
  const named = variable("LONGSTRIDE_BROWSER");
  if (named) return [named];
  if (os === "darwin") {
    const folders = ["/Applications", ...variable("HOME") ? [join(variable("HOME")!, "Applications")] : []];
    return folders.flatMap((folder) => ["Google Chrome", "Chromium"].map((name) => join(folder, `${name}.app/Contents/MacOS/${name}`)));
  }
  if (os === "windows") {
    const folders = ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].flatMap((name) => variable(name) ?? []);
    return ["Google\\Chrome", "Chromium"].flatMap((name) => folders.map((folder) => join(folder, name, "Application", "chrome.exe")));
  }
  const folders = variable("PATH")?.split(delimiter).filter(Boolean) ?? [];
  return [SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    .flatMap((name) => folders.map((folder) => join(folder, name)));
}

/** Variables for processes that test. */
type Variables = Record<string, string>;

/** What {@linkcode setUpTests} did. */
export interface SetUp {
  /** For processes that test. */
  readonly env: Readonly<Variables>;
  /** The needs that are not met, each with the reason. */
  readonly without: ReadonlyMap<Need, string>;
}

interface Output {
  readonly success: boolean;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end; one that cannot be run, or takes longer than `seconds`, is one that failed. */
async function run(
  program: string,
  args: readonly string[],
  options: { env?: Variables; cwd?: string; seconds?: number } = {},
): Promise<Output> {
  const { env, cwd, seconds } = options, signal = seconds ? AbortSignal.timeout(seconds * 1e3) : undefined;
  try {
    const command = new Deno.Command(program, { args: [...args], env, cwd, signal, stdin: "null", stdout: "piped", stderr: "piped" });
    const { success, stdout, stderr } = await command.output(), decoder = new TextDecoder();
    return { success, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  } catch (error) {
    return { success: false, out: "", err: (error as Error).message };
  }
}

/** The GPU that is found under these variables: a process of its own, since a driver is chosen when it starts and may end it. */
async function findGpu(env: Variables, options: PickOptions = {}): Promise<string | undefined> {
  const code = `import { pickBackend } from ${JSON.stringify(new URL("../mod.ts", import.meta.url).href)};
console.log((await pickBackend("webgpu", ${JSON.stringify(options)})).engine.description);
Deno.exit();`;
  const { success, out } = await run(Deno.execPath(), ["eval", "--quiet", code], { env, seconds: 120 });
  return success ? out.trim().split("\n").at(-1) : undefined;
}

/** The first browser that is there and runs. */
async function findBrowser(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths.filter((path) => existsSync(path))) {
    // On Windows it has no console to answer on, and would open a window.
    if (Deno.build.os === "windows" || (await run(path, ["--version"], { seconds: 60 })).success) return path;
  }
}

/** Whether npm's programs are kept, without asking the network. */
const hasProgram = (name: keyof typeof PROGRAMS) => executable(name, "offline").then(() => true, () => false);

/** A python3 that has PyTorch: the one named, that on the path, or the system's own, whose packages Debian's are. */
async function findTorch(variable: Variable = ENVIRONMENT): Promise<string | undefined> {
  const named = variable("LONGSTRIDE_PYTHON");
  for (const path of named ? [named] : ["python3", "/usr/bin/python3"]) {
    if ((await run(path, ["-c", "import torch"], { seconds: 60 })).success) return path;
  }
}

/** Where Debian's Chromium has a software GPU that Dawn takes; it refuses Mesa 22.3's. */
const CHROMIUM_VULKAN = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** Path of Dawn as an addon, of npm's package where it is kept. */
async function dawnPath(): Promise<string | undefined> {
  const modules = await modulesOf("dawn", "offline").catch(() => undefined), { os, arch } = Deno.build;
  const system = { linux: "linux", windows: "win32", darwin: "darwin" }[os as string], cpu = arch === "x86_64" ? "x64" : "arm64";
  const path = modules && join(modules, "webgpu", "dist", `${system}-${os === "darwin" ? "universal" : cpu}`, "dawn.node");
  return path && existsSync(path) ? path : undefined;
}

/** Finds Dawn, and variables under which it has a GPU. */
async function findDawn(env: Variables): Promise<Variables | undefined> {
  const path = await dawnPath();
  if (!path) return undefined;
  for (const vulkan of [undefined, ...existsSync(CHROMIUM_VULKAN) ? [CHROMIUM_VULKAN] : []]) {
    const gpu = await findGpu({ ...env, ...vulkan ? { VK_ICD_FILENAMES: vulkan } : {} }, { gpu: "dawn", dawnPath: path });
    if (!gpu) continue;
    console.log(`Dawn: ${gpu}`);
    return { LONGSTRIDE_TEST_DAWN: path, ...vulkan ? { LONGSTRIDE_TEST_DAWN_VULKAN: vulkan } : {} };
  }
}

async function getProgram(name: keyof typeof PROGRAMS): Promise<void> {
  const { packages, packed } = PROGRAMS[name];
  console.log(`Downloading npm's ${packages.join(", ")}: ${packed}`);
  await modulesOf(name);
}

/** Installs a package of Debian's. */
async function installDebian(name: string): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    get = (...args: string[]) => run("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=120", ...args], { env });
  let last: Output | undefined;
  for (const isFresh of [false, true]) {
    // An image's package lists may be absent or old.
    if (isFresh) await get("update");
    last = await get("install", "--no-install-recommends", "--assume-no", name);
    const [, size] = /^Need to get (.*) of archives/m.exec(last.out) ?? [];
    if (size) {
      console.log(`Installing Debian's ${name}: ${size} to download`);
      last = await get("install", "--no-install-recommends", "-y", name);
    }
    // Also where there was nothing to install.
    if (last.success) return;
  }
  throw new LongstrideError(`apt-get could not install ${name}: ${cause(last!.out + last!.err)}`);
}

/** npm's package of a headless Chromium and a software Vulkan, for Linux on x86-64. Its digest is the one in npm's registry. */
const CHROMIUM = {
  name: "@sparticuz/chromium",
  version: "153.0.0",
  sha512: "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
  packed: "70 MB",
  unpacked: "220 MB",
} as const;

const keptAt = (cache: string) => join(cache, `chromium-${CHROMIUM.version}`);

/** Finds the libraries that a machine without any browser lacks, for this program alone. */
const LAUNCHER = `#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH="$here/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/chromium" "$@"
`;

/** Parts of a download that was killed are removed by a later one, when no other can still be at work on them. */
async function removeParts(cache: string): Promise<void> {
  for (const { name } of Deno.readDirSync(cache)) {
    const path = join(cache, name), { mtime } = Deno.lstatSync(path);
    if (name.startsWith("part-") && mtime && Date.now() - mtime.getTime() > 24 * 3600e3) await Deno.remove(path, { recursive: true });
  }
}

/**
 * The folder with npm's Chromium, whole: it is made beside and renamed.
 *
 * @throws {LongstrideError} where it cannot be had
 */
async function getChromium(cache: string): Promise<string> {
  const { name, version, sha512, packed, unpacked } = CHROMIUM, at = keptAt(cache), full = `${name}@${version}`;
  if (existsSync(at)) return at;
  await Deno.mkdir(cache, { recursive: true });
  await removeParts(cache);
  const part = await Deno.makeTempDir({ dir: cache, prefix: "part-" });
  try {
    console.log(`Downloading npm's ${full}, a headless Chromium and a software Vulkan: ${packed}, unpacked ${unpacked}, kept in ${at}`);
    const ran = await run("npm", ["pack", "--prefer-offline", "--loglevel=error", full], { cwd: part, env: PATIENCE }),
      [archive] = [...Deno.readDirSync(part)].filter(({ name }) => name.endsWith(".tgz"));
    if (!ran.success || !archive) throw new LongstrideError(`npm could not get ${full}: ${cause(ran.out + ran.err)}`);
    const path = join(part, archive.name);
    await unpackChromium(await Deno.readFile(path), part, sha512);
    await Deno.remove(path);
    await Deno.chmod(part, 0o755);
    try {
      await Deno.rename(part, at);
    } catch (error) {
      // Another run was first.
      if (!existsSync(at)) throw error;
    }
    return at;
  } finally {
    if (existsSync(part)) await Deno.remove(part, { recursive: true });
  }
}

/** Unpacks the package into a folder, as its programs expect each other. */
async function unpackChromium(packed: Uint8Array<ArrayBuffer>, folder: string, sha512: string): Promise<void> {
  const digest = createHash("sha512").update(packed).digest("base64");
  if (digest !== sha512) {
    throw new LongstrideError(`what npm gave for ${CHROMIUM.name} is not what it was: its SHA-512 is ${digest}, not ${sha512}`);
  }
  // Only here: nothing else of the runner needs them.
  const { brotliDecompressSync, gunzipSync } = await import("node:zlib"), { unpackTar } = await import("modern-tar");
  const files = new Map((await unpackTar(gunzipSync(packed))).map(({ header, data }) => [header.name, data]));
  const get = (name: string) => {
    const data = files.get(`package/bin/${name}.br`);
    if (!data) throw new LongstrideError(`${CHROMIUM.name} has no ${name}`);
    return brotliDecompressSync(data);
  };
  await Deno.writeFile(join(folder, "chromium"), get("chromium"), { mode: 0o755 });
  await Deno.mkdir(join(folder, "lib"));
  for (const name of ["swiftshader.tar", "al2023.tar"]) {
    for (const { header, data } of await unpackTar(get(name))) {
      if (header.type === "file" && /^(lib\/)?[\w.]+$/.test(header.name)) {
        await Deno.writeFile(join(folder, header.name), data!, { mode: 0o755 });
      }
    }
  }
  await Deno.writeTextFile(join(folder, "launch"), LAUNCHER, { mode: 0o755 });
  // Alone in a folder, so that no other program takes Chromium's libraries for the system's.
  await Deno.mkdir(join(folder, "vulkan"));
  await Deno.symlink("../libvulkan.so.1", join(folder, "vulkan", "libvulkan.so.1"));
}

/** Variables under which Vulkan computes on the CPU by npm's SwiftShader. */
function swiftShader(folder: string, variable: Variable = ENVIRONMENT): Variables {
  const before = variable("LD_LIBRARY_PATH");
  return {
    VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json"),
    LD_LIBRARY_PATH: join(folder, "vulkan") + (before ? `:${before}` : ""),
  };
}

async function thisMachine(): Promise<Machine> {
  const { os, arch } = Deno.build, cache = cacheFolder(ENVIRONMENT), has = async (name: string) => (await run(name, ["--version"])).success;
  const [hasApt, hasNpm] = await Promise.all([os === "linux" && has("apt-get"), has("npm")]);
  return { os, arch, isRoot: Deno.uid() === 0, hasApt, hasNpm, cache, isKept: cache !== undefined && existsSync(keptAt(cache)) };
}

/** Debian's names of what is needed, the better first. */
const PACKAGES = {
  gpu: ["mesa-vulkan-drivers"],
  browser: [SHELL, "chromium"],
  torch: ["python3-torch"],
  mpi: ["openmpi-bin"],
} as const;

/** Installs the first of Debian's packages that is to be had. */
async function installFirst(names: readonly string[]): Promise<void> {
  const [name, ...others] = names;
  try {
    await installDebian(name);
  } catch (error) {
    if (others.length === 0) throw error;
    await installFirst(others);
  }
}

/**
 * Finds what the tests need, and gets what is missing.
 *
 * @throws {ConfigError} where the environment names what is not there
 */
export async function setUpTests(): Promise<SetUp> {
  const env: Variables = {}, without = new Map<Need, string>();
  for (const need of parseNeeds(Deno.env.get("LONGSTRIDE_WITHOUT"))) without.set(need, "LONGSTRIDE_WITHOUT names it");
  if (Deno.build.os === "linux") {
    // Without it Mesa prints errors of its own about a folder that nothing here uses.
    const runtime = Deno.env.get("XDG_RUNTIME_DIR");
    if (!(runtime && existsSync(runtime))) env.XDG_RUNTIME_DIR = tmpdir();
    // What Mesa has compiled is kept where all processes find it: also those whose HOME is another, and where the home that the system
    // knows is not there. The cases of attention in f32 on one engine take 25 s of CPU with it and 190 without.
    const cache = cacheFolder(ENVIRONMENT), mesa = cache && join(cache, "mesa");
    if (mesa && !Deno.env.get("MESA_SHADER_CACHE_DIR")) {
      await Deno.mkdir(mesa, { recursive: true }).then(() => env.MESA_SHADER_CACHE_DIR = mesa, () => {});
    }
    // Where there is no Vulkan, Deno offers Mesa's OpenGL on the CPU, on which one of the kernels' tests did not end in a minute.
    if (!Deno.env.get("DENO_WEBGPU_BACKEND")) env.DENO_WEBGPU_BACKEND = "vulkan";
  }

  // Whether a need is met, with these variables set besides.
  const found: Record<Need, (given?: Variables) => Promise<boolean>> = {
    gpu: async (given) => {
      const gpu = await findGpu({ ...env, ...given });
      if (gpu) console.log(`GPU: ${gpu}`);
      if (/swiftshader/i.test(gpu ?? "")) {
        console.log("SwiftShader takes up to a minute for an attention kernel: this will be slow; Mesa's (mesa-vulkan-drivers) is faster");
      }
      return gpu !== undefined;
    },
    browser: async (given) => {
      const named = Deno.env.get("LONGSTRIDE_BROWSER"),
        path = await findBrowser(given?.LONGSTRIDE_BROWSER ? [given.LONGSTRIDE_BROWSER] : browserPaths());
      if (!path && named) {
        throw new ConfigError(
          `Cannot use LONGSTRIDE_BROWSER: ${named} does not run; without a browser test under LONGSTRIDE_WITHOUT=browser`,
        );
      }
      if (path) console.log(`Browser: ${env.LONGSTRIDE_BROWSER = path}`);
      return path !== undefined;
    },
    torch: async () => {
      const path = await findTorch();
      if (path) env.LONGSTRIDE_PYTHON = path;
      return path !== undefined;
    },
    mpi: async () => (await run("mpirun", ["--version"], { seconds: 60 })).success,
    bun: () => hasProgram("bun"),
    workerd: () => hasProgram("workerd"),
    bundler: () => hasProgram("bundler"),
    typescript: () => hasProgram("typescript"),
    dawn: async (given) => {
      const found = await findDawn({ ...env, ...given });
      Object.assign(env, found);
      return found !== undefined;
    },
  };
  const wanted = (Object.keys(NEEDS) as Need[]).filter((need) => !without.has(need)),
    met = await Promise.all(wanted.map((need) => found[need]())),
    missing = wanted.filter((_, i) => !met[i]);

  let machine: Machine | undefined, chromium: Promise<string> | undefined;
  // A browser with windows does, but where Debian's packages are installed it gets the shell beside it.
  const { LONGSTRIDE_BROWSER: browser } = env;
  if (browser && !Deno.env.has("LONGSTRIDE_BROWSER") && basename(browser) !== SHELL) {
    machine = await thisMachine();
    if (waysTo("browser", machine)[0] === "debian") await installDebian(SHELL).then(() => found.browser(), () => {});
  }
  for (const need of missing) {
    machine ??= await thisMachine();
    const reasons: string[] = [], ways = waysTo(need, machine), { cache } = machine, kept = () => chromium ??= getChromium(cache!);
    for (const way of ways) {
      let given: Variables = {};
      try {
        if (need !== "gpu" && need !== "browser" && need !== "torch" && need !== "mpi") await getProgram(need);
        else if (need === "torch" || need === "mpi" || way === "debian") await installFirst(PACKAGES[need]);
        else given = need === "gpu" ? swiftShader(await kept()) : { LONGSTRIDE_BROWSER: join(await kept(), "launch") };
        if (await found[need](given)) {
          Object.assign(env, given);
          break;
        }
        reasons.push(`what ${way === "debian" ? "Debian" : "npm"} has does not run here`);
      } catch (error) {
        // The system's errors are reasons too: no space, no permission.
        reasons.push((error as Error).message);
      }
    }
    if (reasons.length === ways.length) without.set(need, [...reasons, remedy(need, machine)].join("; "));
  }
  for (const [need, why] of without) console.log(`The tests that need ${NEEDS[need]} are left out: ${why}`);
  return { env, without };
}
