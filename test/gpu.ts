/**
 * What tests of the WebGPU engine share.
 *
 * @module
 */

/** Tests run on what there is, a software GPU too. */
export const software = { allowSoftware: true } as const;

/** A device beside the engines' own, for what they do not show. */
export async function bareDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter: deno task test gets a software one");
  return await adapter.requestDevice();
}
