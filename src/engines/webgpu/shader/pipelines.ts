/**
 * Compute pipelines by kernel and values, with what the kernel's text says about its bindings and uniforms.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { STAGE } from "../flags.ts";
import { saying, scoped } from "../scopes.ts";
import { type Binding, bindingsOf, type Uniforms, uniformsOf } from "./reflect.ts";
import { kernelKey, specialised, type Values } from "./specialise.ts";

/** A compiled kernel. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
  readonly uniforms: Uniforms;
}

/** The message of a compiler, with what it points at in `text`, whose lines say where they come from. */
function withLine(message: string, text: string): string {
  const line = Number(/:(\d+):\d+/.exec(message)?.[1]), [, file, own, code] = LINE.exec(text.split("\n")[line - 1] ?? "") ?? [];
  return file ? `${message.trim()}\n  wgsl/${file}.wgsl:${own}: ${code}` : message.trim();
}

const LINE = /\/\*(\w+):(\d+)\*\/(.*)$/;

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
    const { module, text: code } = specialised(kernel, values, writable);
    const bindings = bindingsOf(module), uniforms = uniformsOf(module), visibility = STAGE.COMPUTE;
    try {
      const [{ layout, pipeline }, scope] = scoped(device, ["validation"], () => {
        const shader = device.createShaderModule({ label: key, code });
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
          compute: { module: shader, entryPoint: "main" },
        });
        // What the scope says comes first.
        pipeline.catch(() => {});
        return { layout, pipeline };
      });
      const [invalid] = await scope;
      if (invalid) throw new Error(invalid.message);
      return { pipeline: await pipeline, layout, bindings, uniforms };
    } catch (cause) {
      throw new KernelError(`Cannot compile kernel ${key}: ${withLine(saying(cause), specialised(kernel, values, writable, true).text)}`, {
        cause,
      });
    }
  }
}
