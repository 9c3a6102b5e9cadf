/** One command of the CLI, whatever it is made from. */
import type { CliContext } from './context.ts';

/** How a flag's text becomes a value; a duration is given as 90s, 10m, 2h and becomes seconds. */
export type FlagKind =
  | 'switch'
  /** A switch that can also be turned off: takes on or off. */
  | 'onOff'
  | 'text'
  | 'integer'
  | 'number'
  | 'duration'
  | 'pairs'
  /** Given once for each entry; an empty entry alone is an empty list. */
  | 'list'
  | 'numbers';

export interface FlagSpec {
  /** Key in `Invocation.flags`: the input field where it is one. */
  readonly key: string;
  /** `-w, --workdir` */
  readonly spelling: string;
  readonly kind: FlagKind;
  readonly description: string;
  readonly choices?: readonly string[];
  readonly required?: boolean;
}

export interface PositionalSpec {
  readonly key: string;
  /** Shown in usage lines. */
  readonly label: string;
  readonly required: boolean;
  readonly variadic?: boolean;
  readonly description: string;
  readonly choices?: readonly string[];
}

/** The words of a command to run, after `--` or after the last positional. */
export interface RestSpec {
  readonly label: string;
  readonly required: boolean;
}

export interface CommandSpec {
  /** Words after `coppice`. */
  readonly words: string;
  readonly aliases?: readonly string[];
  /** Heading it stands under in `coppice --help`. */
  readonly group?: string;
  readonly summary: string;
  readonly description?: string;
  readonly positionals: readonly PositionalSpec[];
  readonly flags: readonly FlagSpec[];
  readonly rest?: RestSpec;
  /** Shown by --help: what to type, and what it does. */
  readonly examples?: readonly (readonly [command: string, effect: string])[];
  /** More for --help. */
  readonly notes?: string;
  readonly hidden?: boolean;
  /** @returns the exit code */
  run(invocation: Invocation, context: CliContext): Promise<number>;
}

export type FlagValue =
  | boolean
  | string
  | number
  | readonly string[]
  | readonly number[]
  | Readonly<Record<string, string>>;

export interface Invocation {
  readonly positionals: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly flags: Readonly<Record<string, FlagValue | undefined>>;
  readonly rest: readonly string[];
}

/** A value that was declared as one text. */
export function text(invocation: Invocation, key: string): string {
  const value = invocation.positionals[key] ?? invocation.flags[key];
  return typeof value === 'string' ? value : '';
}

/** The given flags of these keys, as a part of an operation's input. */
export function given(invocation: Invocation, keys: readonly string[]): Record<string, FlagValue> {
  const entries = keys.flatMap((key) => {
    const value = invocation.flags[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return Object.fromEntries(entries);
}
