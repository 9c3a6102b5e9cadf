/** Ctrl-P Ctrl-Q, found in what is typed. Everything else passes. */

const ctrlP = 0x10;
const ctrlQ = 0x11;

export interface DetachFilter {
  /** @returns what to send on, and whether the keys were typed */
  feed(data: Uint8Array): { readonly pass: Uint8Array; readonly detach: boolean };
  /** A held Ctrl-P that nothing followed: send it after all. */
  flush(): Uint8Array;
  readonly holding: boolean;
}

export function detachFilter(): DetachFilter {
  let holding = false;
  return {
    get holding() {
      return holding;
    },
    feed(data) {
      const pass: number[] = [];
      for (const byte of data) {
        if (holding && byte === ctrlQ) {
          holding = false;
          return { pass: Uint8Array.from(pass), detach: true };
        }
        if (holding) pass.push(ctrlP);
        holding = byte === ctrlP;
        if (!holding) pass.push(byte);
      }
      return { pass: Uint8Array.from(pass), detach: false };
    },
    flush() {
      const pass = holding ? [ctrlP] : [];
      holding = false;
      return Uint8Array.from(pass);
    },
  };
}
