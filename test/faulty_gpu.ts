/**
 * A GPU that computes nothing and fails when it is told to: every object of WebGPU that the library uses, with the calls counted by name.
 *
 * @module
 */

/** What goes wrong at a call. */
export interface Fault {
  /** Which: "GPUDevice.createBuffer". */
  readonly call: string;
  /** From the how manyth such call on, from 1. */
  readonly at: number;
  /**
   * `throws`: the call throws, from then on; `once`: only that time; `rejects`: what it promises is rejected; `null`: it answers null;
   * `lost`: the device is lost at it, which calls are told before the `lost` promise is; `lost-throws`: and it throws as well.
   */
  readonly kind: "throws" | "once" | "rejects" | "null" | "lost" | "lost-throws";
}

/** How long after its calls a lost device says so, in milliseconds. */
const LATE = 5;

const turn = (ms = 0) => new Promise<void>((resume) => setTimeout(resume, ms));

/** A fake `navigator.gpu`. */
export class FaultyGpu {
  /** How often each call was made. */
  readonly calls = new Map<string, number>();
  /** Devices made, and destroyed. */
  devices = 0;
  destroyed = 0;

  constructor(readonly fault?: Fault, readonly timestamps = true) {}

  /** An object whose methods are counted and fail when it is their turn. */
  #object<T extends Record<string, unknown>>(type: string, members: T, lose?: () => void): T {
    for (const [name, member] of Object.entries(members)) {
      if (typeof member !== "function") continue;
      (members as Record<string, unknown>)[name] = (...args: unknown[]) => {
        const call = `${type}.${name}`, count = (this.calls.get(call) ?? 0) + 1, { fault } = this;
        this.calls.set(call, count);
        if (fault?.call === call && (count === fault.at || (count > fault.at && fault.kind === "throws"))) {
          const error = new DOMException(`${call} failed, as told`, "OperationError");
          switch (fault.kind) {
            case "lost":
            case "lost-throws":
              lose?.();
              if (fault.kind === "lost-throws") throw error;
              break;
            case "rejects":
              return Promise.reject(error);
            case "null":
              return Promise.resolve(null);
            default:
              throw error;
          }
        }
        return member(...args);
      };
    }
    return members;
  }

  /** As `navigator.gpu`. */
  readonly gpu: GPU = this.#object("GPU", { requestAdapter: () => Promise.resolve(this.#adapter()) }) as unknown as GPU;

  #adapter() {
    const limits = {
      maxBufferSize: 2 ** 28,
      maxStorageBufferBindingSize: 2 ** 27,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupSizeX: 256,
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 8,
      minUniformBufferOffsetAlignment: 256,
    };
    const info = { description: "a faulty GPU" }, features = new Set(this.timestamps ? ["timestamp-query"] : []);
    return this.#object("GPUAdapter", { limits, info, features, requestDevice: () => Promise.resolve(this.#device(limits, features)) });
  }

  #device(limits: Record<string, number>, features: Set<string>) {
    this.devices++;
    let isLost = false, told: (info: GPUDeviceLostInfo) => void;
    const lost = new Promise<GPUDeviceLostInfo>((resolve) => told = resolve);
    const lose = (reason: "unknown" | "destroyed", late: number) => {
      if (isLost) return;
      isLost = true;
      setTimeout(() => told({ reason, message: "as told" } as GPUDeviceLostInfo), late);
    };
    const gone = () => lose("unknown", LATE),
      make = <T extends Record<string, unknown>>(type: string, members: T) => this.#object(type, members, gone);
    const buffer = ({ size }: { size: number }) => {
      const mapped = new ArrayBuffer(size);
      return make("GPUBuffer", {
        size,
        mapAsync: async () => {
          await turn();
          if (isLost) throw new DOMException("the device is lost", "AbortError");
        },
        getMappedRange: () => mapped,
        destroy: () => {},
      });
    };
    const encoder = () =>
      make("GPUCommandEncoder", {
        beginComputePass: () =>
          make("GPUComputePassEncoder", { setPipeline: () => {}, setBindGroup: () => {}, dispatchWorkgroups: () => {}, end: () => {} }),
        copyBufferToBuffer: () => {},
        resolveQuerySet: () => {},
        finish: () => ({}),
      });
    return make("GPUDevice", {
      limits,
      features,
      lost,
      queue: make("GPUQueue", { submit: () => {}, writeBuffer: () => {} }),
      addEventListener: () => {},
      removeEventListener: () => {},
      pushErrorScope: () => {},
      popErrorScope: () => Promise.resolve(null),
      createBuffer: buffer,
      createShaderModule: () => ({}),
      createBindGroupLayout: () => ({}),
      createPipelineLayout: () => ({}),
      createComputePipelineAsync: async () => {
        await turn();
        if (isLost) throw new DOMException("the device is lost", "GPUPipelineError");
        return {};
      },
      createBindGroup: () => ({}),
      createCommandEncoder: encoder,
      createQuerySet: () => make("GPUQuerySet", { destroy: () => {} }),
      destroy: () => {
        this.destroyed++;
        lose("destroyed", 0);
      },
    });
  }
}

/** Runs `use` with that GPU as the runtime's. */
export async function withGpu<T>({ gpu }: FaultyGpu, use: () => Promise<T>): Promise<T> {
  const before = Object.getOwnPropertyDescriptor(navigator, "gpu");
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  try {
    return await use();
  } finally {
    if (before) Object.defineProperty(navigator, "gpu", before);
    else delete (navigator as { gpu?: GPU }).gpu;
  }
}
