/**
 * One definition per operation. JSON-RPC validation and dispatch, the CLI command with its flags and
 * --json, agent tools, confirmation texts and the reference docs are all derived from these values.
 */
import type * as z from 'zod';
import type { ErrorCode } from './errors.ts';

/** What an operation may do: look, change, or throw something away. */
export type Risk = 'read' | 'write' | 'destructive';

/**
 * The byte stream an operation opens. Its reply then carries a `ticket` for a second connection
 * (stream.ts): `process` is a running command, `download` flows to the client, `upload` from it, `tunnel` both
 * ways.
 */
export type StreamKind = 'process' | 'download' | 'upload' | 'tunnel';

/** How the CLI spells an operation. Fields that are not named here get a flag of their own name. */
export interface CliSpelling {
  /** Words after `coppice`, for example `image list`. */
  readonly command: string;
  readonly aliases?: readonly string[];
  /** Input fields given by position, in order. */
  readonly positionals?: readonly string[];
  /** Input field that takes all words after `--`. */
  readonly rest?: string;
  /** Other spellings of flags: input field to `-x, --long`. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Fields of yes or no where no is not the same as nothing: their flags take on or off. */
  readonly onOff?: readonly string[];
  /** Input fields that the CLI does not offer. */
  readonly hidden?: readonly string[];
}

/** Categories of calls that are rate-limited for each caller. */
export type RateCategory = 'create' | 'exec' | 'team_message' | 'default';

/** What a caller must be to call an operation, beyond having connected. */
export interface Access {
  /**
   * Input fields that name workspaces (one or a list) the caller must own. Default: `workspace_id` where there is
   * one.
   */
  readonly owns?: readonly string[];
  /** Takes over what it names where workspace_adopt with force could, instead of being refused. */
  readonly adopts?: true;
  /** Which bucket it is charged to; `cost` tokens, one where absent. Default: none. */
  readonly rate?: RateCategory;
  readonly cost?: (input: Readonly<Record<string, unknown>>) => number;
}

export interface Operation<
  Name extends string = string,
  Input extends z.ZodObject = z.ZodObject,
  Output extends z.ZodType = z.ZodType,
> {
  readonly name: Name;
  /** One line, in the imperative. */
  readonly summary: string;
  /** What a reader must know beyond the summary. */
  readonly description?: string;
  readonly input: Input;
  readonly output: Output;
  readonly risk: Risk;
  /** Whether calling it again with the same input after a lost reply does no harm. */
  readonly retry: 'safe' | 'unsafe';
  /** Codes a caller should expect beside invalid_input and internal. */
  readonly errors: readonly ErrorCode[];
  readonly stream?: StreamKind;
  readonly access?: Access;
  /** Sends progress notifications while it runs. */
  readonly progress?: true;
  readonly cli?: CliSpelling;
}

export function defineOperation<
  const Name extends string,
  Input extends z.ZodObject,
  Output extends z.ZodType,
>(operation: Operation<Name, Input, Output>): Operation<Name, Input, Output> {
  return operation;
}
