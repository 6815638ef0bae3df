/**
 * Dawn, Chrome's WebGPU, as an addon of Node's kind: npm's package `webgpu`, or a `dawn.node` that lies anywhere. Node, which has no
 * `navigator.gpu`, computes on a GPU by it; in Deno it offers what Deno's own does not: matrix units, and waits that end when the work does.
 *
 * Nothing here is a dependency: it is looked for when it is asked for.
 *
 * @module
 */

import { BackendError } from "../../base/errors.ts";
import { nodeModule, pathToUrl } from "../../base/runtime_files.ts";
import { pacePolls } from "./dawn_polls.ts";
import { saying } from "./scopes.ts";

/** The version that this was tested with, for who installs it, and for Deno, which fetches it where it is asked for. */
const PACKAGE = "webgpu@0.6.2";

/**
 * Matrices of subgroups are an experiment in Dawn; f16 on NVIDIA's Vulkan is left off there by default. Timestamps would be rounded to
 * 100 µs.
 */
const FLAGS = ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia", "disable-dawn-features=timestamp_quantization"];

/** A wait ends 0.05 to 2 ms after the work: what is streamed need not be kept for long. */
const STREAM_MS = 10;

/** What the addon exports. */
interface Dawn {
  create(flags: readonly string[]): GPU;
}

/** An instance of Dawn, and how many devices of it live. */
interface Instance {
  readonly gpu: GPU;
  devices: number;
}

/**
 * Instances by what they were loaded from. One must stay reachable for as long as a device of it lives: where it is collected before, the
 * process dies of any crash.
 */
const instances = new Map<string, Instance>();

/** Imports a module whose name bundlers and `deno cache` are not to see. */
const importing = (name: string): Promise<Dawn> => import(/* @vite-ignore */ /* webpackIgnore: true */ ["", name].join(""));

/** Loads a `dawn.node` by its path. */
async function loadFile(path: string | URL): Promise<Dawn> {
  const url = path instanceof URL || path.startsWith("file:") ? new URL(path) : await pathToUrl(path);
  const [module, names] = [await nodeModule("module"), await nodeModule("url")];
  if (!url || !module || !names) throw new Error("this runtime has no addons");
  return module.createRequire(url)(names.fileURLToPath(url)) as Dawn;
}

/**
 * Loads the package: the one installed, else, where it was asked for by name, what the runtime fetches by an address of npm's.
 *
 * @throws {unknown} what the first attempt failed of
 */
async function loadPackage(isAsked: boolean): Promise<Dawn> {
  try {
    return await importing(PACKAGE.split("@")[0]);
  } catch (error) {
    if (!isAsked) throw error;
    return await importing(`npm:${PACKAGE}`).catch((other) => {
      // Of runtimes that know no such addresses.
      throw /scheme|protocol|resolve|not found/i.test(saying(other)) ? error : other;
    });
  }
}

/** The instance loaded from there, made where there is none. */
async function instanceOf(isAsked: boolean, path: string | URL | undefined): Promise<[key: string, instance: Instance]> {
  const key = String(path ?? ""), known = instances.get(key);
  if (known) return [key, known];
  let dawn: Dawn;
  try {
    dawn = path === undefined ? await loadPackage(isAsked) : await loadFile(path);
  } catch (cause) {
    const why = path === undefined ? `npm's package webgpu cannot be loaded (${firstLine(cause)})` : `${path}: ${firstLine(cause)}`;
    throw new BackendError(
      isAsked || path !== undefined
        ? `Cannot use Dawn: ${why}; npm install ${PACKAGE}, or name a dawn.node by dawnPath`
        : `Cannot use WebGPU: this runtime has no navigator.gpu, and ${why}; use the wasm backend, or npm install ${PACKAGE}`,
      { cause },
    );
  }
  // Another call may have been quicker.
  const instance = instances.get(key) ?? { gpu: dawn.create(FLAGS), devices: 0 };
  instances.set(key, instance);
  return [key, instance];
}

const firstLine = (error: unknown) => saying(error).split("\n")[0];

/** What an adapter says of itself, its name told apart from that which the same device has elsewhere: what is tuned is not the same. */
function named(info: GPUAdapterInfo): GPUAdapterInfo & { streamMs: number } {
  // Getters of a class of the addon's.
  const all = Object.fromEntries(INFO.map((field) => [field, info[field as keyof GPUAdapterInfo]])) as unknown as GPUAdapterInfo;
  return { ...all, streamMs: STREAM_MS, description: `${info.device.replace(/-+$/, "") || info.description}, by Dawn` };
}

const INFO = ["vendor", "architecture", "device", "subgroupMinSize", "subgroupMaxSize", "subgroupMatrixConfigs", "isFallbackAdapter"];

/**
 * An adapter of Dawn's.
 *
 * @param isAsked whether Dawn was asked for, rather than looked for where there is no other WebGPU
 * @param path of a `dawn.node`, in place of the package
 * @throws {BackendError} where it cannot be loaded, saying what to install
 */
export async function dawnAdapter(options: GPURequestAdapterOptions, isAsked: boolean, path?: string | URL): Promise<GPUAdapter | null> {
  const [key, instance] = await instanceOf(isAsked, path), adapter = await instance.gpu.requestAdapter(options);
  if (!adapter) return null;
  const request = adapter.requestDevice.bind(adapter);
  const requestDevice: GPUAdapter["requestDevice"] = async (descriptor) => {
    const device = await request(descriptor);
    const restore = pacePolls();
    instance.devices++;
    // A device that is destroyed is lost.
    device.lost.then(() => {
      restore();
      if (--instance.devices === 0 && instances.get(key) === instance) instances.delete(key);
    });
    return device;
  };
  return Object.defineProperties(adapter, { info: { value: named(adapter.info) }, requestDevice: { value: requestDevice } });
}
