/**
 * Typed errors. A message says what failed, what was found against what is allowed, and what to do;
 * a class says which kind of thing failed, so that a caller can choose by `instanceof`.
 *
 * @module
 */

/** The base of every error Longstride throws on purpose. */
export class LongstrideError extends Error {
  /** The class's own name, so that it survives minifiers and structured logs. */
  override name = "LongstrideError";
}

/** An option, configuration field or command-line flag has a value that is not allowed. */
export class ConfigError extends LongstrideError {
  /** The class's own name. */
  override name = "ConfigError";
}

/** A tensor or an array has another shape, type or length than the operation needs. */
export class ShapeError extends LongstrideError {
  /** The class's own name. */
  override name = "ShapeError";
}

/** Training or sampling data cannot be read, is damaged, or is too short. */
export class DataError extends LongstrideError {
  /** The class's own name. */
  override name = "DataError";
}

/** A checkpoint cannot be read or does not fit the model; what is on disk is left as it was. */
export class CheckpointError extends LongstrideError {
  /** The class's own name. */
  override name = "CheckpointError";
}

/** The engine asked for does not exist here, or its device was lost. */
export class BackendError extends LongstrideError {
  /** The class's own name. */
  override name = "BackendError";
}

/** A kernel failed to compile or to run; the message carries its name. */
export class KernelError extends LongstrideError {
  /** The class's own name. */
  override name = "KernelError";
}

/** An engine could not get the memory that a program needs. */
export class OutOfMemoryError extends LongstrideError {
  /** The class's own name. */
  override name = "OutOfMemoryError";
}

/**
 * Numbers came out that are not finite: gradients several times in a row, then the weights are those of the last good step; losses, or
 * what a model computes, of weights too large for f32 or on a device that computes wrongly.
 */
export class DivergedError extends LongstrideError {
  /** The class's own name. */
  override name = "DivergedError";
}

/** Text from a file or a caller, escaped and cut to `limit` characters, safe to put into a message. */
export function excerpt(text: string, limit = 60): string {
  const cut = text.length > limit ? text.slice(0, limit) : text;
  return JSON.stringify(cut) + (text.length > limit ? `… (${text.length} characters)` : "");
}
