// Every export of kernels.wasm, one file an operation.
export * from "./layout";
