/**
 * `<longstride-sample>` in React's JSX; shipped as it is, not compiled here. Once, in any file of a project:
 *
 *     import type {} from "@longstride/longstride/react";
 *
 * @module
 */

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { LongstrideSample, LongstrideSampleAttributes } from "./longstride_sample.js";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "longstride-sample": DetailedHTMLProps<HTMLAttributes<LongstrideSample>, LongstrideSample> & LongstrideSampleAttributes;
    }
  }
}
