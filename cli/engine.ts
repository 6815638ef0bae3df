/**
 * Flags that pick an engine.
 *
 * @module
 */

import { type BackendName, BACKENDS, type Model, type OpenOptions, PICK_FIELDS, pickBackend, type Picked } from "../mod.ts";
import { Parameters } from "../ops.ts";
import { type Args, type Flag, group, UsageError } from "./flags.ts";
import { TUNING_FLAGS, TuningChoice } from "./tuning.ts";

/** Whose GPU. */
export const GPU_FLAG: Flag = {
  name: "gpu",
  value: "SOURCE",
  allowed: PICK_FIELDS.gpu,
  about: "where WebGPU comes from: runtime, its own, or dawn, npm's webgpu, or the dawn.node that LONGSTRIDE_DAWN names " +
    "(default: the runtime's, dawn where it has none)",
};

/** What the flag, and the environment, ask of a GPU. */
export const gpuOptions = (args: Args): Pick<OpenOptions, "gpu" | "dawnPath"> => ({
  gpu: args.text("gpu") as OpenOptions["gpu"],
  dawnPath: Deno.env.get("LONGSTRIDE_DAWN"),
});

/** Which engine. */
export const ENGINE_FLAGS: readonly Flag[] = group("Device", [
  {
    name: "backend",
    value: "NAME",
    allowed: PICK_FIELDS.backend,
    about: `${BACKENDS.join(", ")}; auto, the default, takes WebGPU where there is a hardware adapter, else WASM`,
  },
  { name: "threads", value: "N", allowed: PICK_FIELDS.threads, about: "threads of the WASM engine (default: all cores)" },
  GPU_FLAG,
  ...TUNING_FLAGS,
]);

/**
 * What the flags ask of an engine.
 *
 * @throws {UsageError} where a GPU is asked for, and an engine that has none
 */
export function engineOptions(args: Args): { options: OpenOptions; tuned: TuningChoice } {
  const tuned = new TuningChoice(args), backend = args.text("backend") as BackendName | undefined, device = gpuOptions(args);
  if (device.gpu && backend && !["auto", "webgpu"].includes(backend)) {
    throw new UsageError(`Cannot use --gpu ${device.gpu} with --backend ${backend}: leave one of them out`);
  }
  return { options: { ...device, backend, threads: args.number("threads"), tuning: (device) => tuned.find(device) }, tuned };
}

/** Picks the engine that the flags ask for. */
export async function engineOf(args: Args): Promise<Picked> {
  const { options, tuned } = engineOptions(args), picked = await pickBackend(options.backend, options);
  try {
    return { engine: picked.engine, why: tuned.why(picked) };
  } catch (error) {
    picked.engine.dispose();
    throw error;
  }
}

/** Puts a model's parameters on an engine. */
export function place({ engine }: Picked, { config, weights }: Model): Parameters {
  const params = new Parameters(config, weights);
  engine.allocate(params.all);
  for (const t of params.all) engine.write(t, weights.get(t.name)!);
  return params;
}
