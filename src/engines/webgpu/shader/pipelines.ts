/**
 * Compute pipelines by kernel and values, with what the kernel's text says about its bindings and uniforms.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { saying, scoped } from "../scopes.ts";
import { kernelKey, specialise, type Values } from "./specialise.ts";

/** A storage binding of a kernel. */
export interface Binding {
  readonly name: string;
  readonly number: number;
  readonly writes: boolean;
}

/** A compiled kernel. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
  /** Fields of the uniform struct, in order, and its binding. */
  readonly uniforms: { readonly number: number; readonly fields: readonly { name: string; type: string }[] };
}

/** The storage bindings that a kernel's text declares. */
export function storageBindings(text: string): Binding[] {
  return [...text.matchAll(/@binding\((\d+)\) var<storage,(read|read_write)>(\w+):/g)]
    .map(([, number, access, name]) => ({ name, number: Number(number), writes: access === "read_write" }));
}

function uniformFields(text: string): Pipeline["uniforms"] {
  const number = Number(/@binding\((\d+)\) var<uniform>/.exec(text)?.[1]);
  const fields = [...(/struct Params\{([^}]*)\}/.exec(text)?.[1] ?? "").matchAll(/(\w+):(\w+)/g)].map(([, name, type]) => ({
    name,
    type,
  }));
  return { number, fields };
}

/** The message of a compiler, with the line of the kernel's text it points at. */
function withLine(message: string, text: string): string {
  const line = Number(/:(\d+):\d+/.exec(message)?.[1]);
  return line ? `${message.trim()}\n  line ${line}: ${text.split("\n")[line - 1]?.trim()}` : message.trim();
}

/** Pipelines of one device. */
export class Pipelines {
  readonly #made = new Map<string, Promise<Pipeline>>();

  constructor(readonly device: GPUDevice) {}

  /** Forgets them: WebGPU frees pipelines with the last that refers to them. */
  clear(): void {
    this.#made.clear();
  }

  /**
   * The pipeline of a kernel with values, made once.
   *
   * @param writable read-only bindings to declare read_write, because a dispatch also writes their buffer
   * @throws {KernelError} naming kernel, values and line where it does not compile
   */
  get(kernel: string, values: Values, writable: readonly string[] = []): Promise<Pipeline> {
    const key = kernelKey(kernel, values) + writable.map((name) => `+${name}`).join("");
    let made = this.#made.get(key);
    if (!made) {
      this.#made.set(key, made = this.#make(kernel, values, writable, key));
      // What failed is not kept: memory may have been short.
      made.catch(() => this.#made.delete(key));
    }
    return made;
  }

  async #make(kernel: string, values: Values, writable: readonly string[], key: string): Promise<Pipeline> {
    const { device } = this;
    let text = specialise(kernel, values);
    for (const name of writable) text = text.replace(`var<storage,read>${name}:`, `var<storage,read_write>${name}:`);
    const bindings = storageBindings(text), uniforms = uniformFields(text);
    const visibility = 0x4; // compute
    try {
      const [{ layout, pipeline }, scope] = scoped(device, ["validation"], () => {
        const module = device.createShaderModule({ label: key, code: text });
        const layout = device.createBindGroupLayout({
          label: key,
          entries: [
            ...bindings.map(({ number, writes }): GPUBindGroupLayoutEntry => ({
              binding: number,
              visibility,
              buffer: { type: writes ? "storage" : "read-only-storage" },
            })),
            { binding: uniforms.number, visibility, buffer: { type: "uniform" } },
          ],
        });
        // Asked for before anything is awaited, so that kernels compile side by side.
        const pipeline = device.createComputePipelineAsync({
          label: key,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module, entryPoint: "main" },
        });
        // What the scope says comes first.
        pipeline.catch(() => {});
        return { layout, pipeline };
      });
      const [invalid] = await scope;
      if (invalid) throw new Error(invalid.message);
      return { pipeline: await pipeline, layout, bindings, uniforms };
    } catch (cause) {
      throw new KernelError(`Cannot compile kernel ${key}: ${withLine(saying(cause), text)}`, { cause });
    }
  }
}
