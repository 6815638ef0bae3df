/**
 * A device of a caller's, before an engine is made on it.
 *
 * @module
 */

import { BackendError } from "../../base/errors.ts";

/** What every kernel has a variant for: the limits of any WebGPU device, save those asked for with lower ones ("compatibility"). */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
} as const;

/** Refuses a device that is lost or on which some kernel would not compile. */
export async function checkDevice(device: GPUDevice, name: string): Promise<void> {
  if (!device.limits) throw new BackendError("Cannot use the device given: it is no GPUDevice; give what requestDevice() resolves to");
  const lost = await Promise.race([device.lost, Promise.resolve(undefined)]);
  if (lost) throw new BackendError(`Cannot use the device given (${name}): it is lost, ${lost.reason}: ${lost.message}; give a live one`);
  const short = Object.entries(NEEDED).filter(([limit, need]) => !(device.limits[limit as keyof typeof NEEDED] >= need));
  if (short.length) {
    const found = short.map(([limit, need]) => `${limit} is ${device.limits[limit as keyof typeof NEEDED]} and must be at least ${need}`);
    throw new BackendError(`Cannot use the device given (${name}): its ${found.join(", its ")}; request it with these as requiredLimits`);
  }
}
