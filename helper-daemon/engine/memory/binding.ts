/** What a memory image is bound to: it continues only on what is the same in every respect named here. */
import type { MachineBinding } from '../machine.ts';

/** In kHz. Measured anew at each boot of the host, so it is never exactly the same. */
export const clockKey = 'clock frequency';
const clockTolerance = 0.01;

export interface BindingMismatch {
  readonly what: string;
  readonly was: string;
  readonly is: string;
}

/** The first respect in which `is` is not what the image was taken on; undefined: it continues there. */
export function bindingMismatch(
  was: MachineBinding,
  is: MachineBinding,
): BindingMismatch | undefined {
  for (const what of new Set([...Object.keys(was), ...Object.keys(is)])) {
    const before = was[what] ?? 'unknown';
    const now = is[what] ?? 'unknown';
    if (before === now) continue;
    if (what === clockKey && isNear(Number(before), Number(now))) continue;
    return { what, was: before, is: now };
  }
  return undefined;
}

function isNear(one: number, other: number): boolean {
  return Math.abs(one - other) <= clockTolerance * one;
}
