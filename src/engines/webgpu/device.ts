/**
 * Getting a WebGPU device, and saying clearly why there is none.
 *
 * @module
 */

import { BackendError } from "../../base/errors.ts";
import { saying } from "./scopes.ts";

/** Where adapters come from: the runtime's own `navigator.gpu`, or Dawn, Chrome's WebGPU, as npm's package `webgpu` brings it. */
export type GpuSource = "runtime" | "dawn";

/** How to make a device. */
export interface DeviceOptions {
  /** Where the adapter comes from; by default the runtime, and Dawn where it has no `navigator.gpu` and the package is installed. */
  gpu?: GpuSource;
  /** Path or file URL of a `dawn.node`, for a machine without npm: it is taken in place of the package. */
  dawnPath?: string | URL;
  /** Use this device; it stays the caller's and is never destroyed here. */
  device?: GPUDevice;
  /** Ask this adapter for the device. */
  adapter?: GPUAdapter;
  /** Accept an adapter that computes on the CPU: right, but slower than the WASM engine. Default false. */
  allowSoftware?: boolean;
  /** `adapter` (the default) asks for what the adapter has; `default` for no more than every browser gives. */
  limits?: "default" | "adapter";
}

/** A device with what is known about it. */
export interface Acquired {
  readonly device: GPUDevice;
  /** Made here, so destroyed here. */
  readonly owned: boolean;
  readonly isSoftware: boolean;
  /** The adapter's name for people. */
  readonly adapterName: string;
  /** What it says of itself, as far as it does: sizes of subgroups, configurations of matrices; and what is known of its streams. */
  readonly info: GPUAdapterInfo & { readonly streamMs?: number } | undefined;
}

/** The limits of a device that planning looks at. */
export type Limits = Pick<
  GPUSupportedLimits,
  | "maxBufferSize"
  | "maxStorageBufferBindingSize"
  | "maxComputeWorkgroupStorageSize"
  | "maxComputeInvocationsPerWorkgroup"
  | "maxComputeWorkgroupsPerDimension"
>;

/** Limits that choose kernel variants or bound buffers. */
const WANTED = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/** Features that kernels have variants for: a device has those that its adapter has, save one of default limits. */
const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];

// wgpu reports more for buffers than it can make; 4 GB was measured to work.
const LARGEST_BUFFER = 4_000_000_000;

function describe(info: GPUAdapterInfo | undefined): { name: string; software: boolean } {
  const { description, device, architecture, vendor } = info ?? {} as Partial<GPUAdapterInfo>;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "an unnamed adapter";
  const fallback = (info as { isFallbackAdapter?: boolean } | undefined)?.isFallbackAdapter === true;
  return { name, software: fallback || /llvmpipe|lavapipe|swiftshader|software|basic render/i.test(`${name} ${architecture ?? ""}`) };
}

/** Does what asks a browser or driver; whatever that throws, `auto` must be able to go on without it. */
async function asking<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof BackendError) throw cause;
    throw new BackendError(`Cannot use WebGPU: asking for ${what} failed: ${saying(cause)}`, { cause });
  }
}

/** The runtime's or Dawn's, as asked for. */
async function askAdapter({ gpu: source, dawnPath }: DeviceOptions): Promise<GPUAdapter | null> {
  const gpu = source === "dawn" ? undefined : (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const options: GPURequestAdapterOptions = { powerPreference: "high-performance" };
  if (gpu) return await gpu.requestAdapter(options);
  // Pages have no package to look for.
  if (source === "runtime" || globalThis.location) {
    throw new BackendError("Cannot use WebGPU: this runtime has no navigator.gpu; use the wasm backend, or a runtime with WebGPU");
  }
  return await (await import("./dawn.ts")).dawnAdapter(options, source === "dawn", dawnPath);
}

/**
 * Finds an adapter.
 *
 * @throws {BackendError} where there is no WebGPU, no adapter, or only a software adapter that is not allowed
 */
export async function findAdapter(options: DeviceOptions = {}): Promise<GPUAdapter> {
  return await asking("an adapter", async () => {
    const adapter = options.adapter ?? await askAdapter(options);
    if (!adapter) {
      throw new BackendError(
        "Cannot use WebGPU: the system offers no adapter (no GPU, or no Vulkan, Metal or D3D12 driver for it); use the wasm backend",
      );
    }
    const { name, software } = describe(adapter.info);
    if (!software || options.allowSoftware) return adapter;
    throw new BackendError(
      `Cannot use WebGPU: the only adapter, ${name}, computes on the CPU; use the wasm backend, or allow software adapters`,
    );
  });
}

/**
 * Takes the caller's device, or requests one.
 *
 * @throws {BackendError} where there is no WebGPU, no adapter, only a software adapter that is not allowed, or no device; and where
 * the caller's device is lost, or its limits are below what the kernels need
 */
export async function acquireDevice(options: DeviceOptions): Promise<Acquired> {
  return await asking(options.device ? "the device given" : "a device", () => acquire(options));
}

async function acquire(options: DeviceOptions): Promise<Acquired> {
  if (options.device) {
    const info = (options.device as { adapterInfo?: GPUAdapterInfo }).adapterInfo, { name, software } = describe(info);
    // Loaded by who gives one: a page that samples has no use for it.
    await (await import("./given.ts")).checkDevice(options.device, name);
    return { device: options.device, owned: false, isSoftware: software, adapterName: name, info };
  }
  const adapter = await findAdapter(options), { info } = adapter, { name, software } = describe(info);
  const requiredLimits: Record<string, number> = {}, features = ["timestamp-query"] as GPUFeatureName[];
  if (options.limits !== "default") {
    for (const limit of WANTED) requiredLimits[limit] = Math.min(adapter.limits[limit], LARGEST_BUFFER);
    features.push(...FEATURES);
  }
  const requiredFeatures = features.filter((feature) => adapter.features.has(feature));
  let device: GPUDevice | null, cause: unknown = "it answered with none";
  try {
    device = await adapter.requestDevice({ label: "longstride", requiredFeatures, requiredLimits });
  } catch (error) {
    [device, cause] = [null, error];
  }
  if (!device) throw new BackendError(`Cannot use WebGPU: ${name} gave no device: ${saying(cause)}`, { cause });
  return { device, owned: true, isSoftware: software, adapterName: name, info };
}
