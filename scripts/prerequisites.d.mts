/** Types of prerequisites.mjs, which is plain JavaScript because it runs before anything is installed. */
export interface Need {
  readonly what: string;
  readonly group: string;
  readonly commands?: readonly string[];
  readonly file?: string;
  readonly check?: 'cargo';
  readonly packages: readonly string[];
  readonly optional?: boolean;
}

export interface Machine {
  hasCommand(name: string): boolean;
  hasFile(pattern: string): boolean;
  hasCargo(): boolean;
}

export type Candidates = (names: readonly string[]) => ReadonlyMap<string, string>;

export declare const needs: readonly Need[];
export declare const groupsOfTask: Readonly<Record<string, readonly string[]>>;
export declare const rustFamilies: readonly {
  readonly compiler: readonly string[];
  readonly rustfmt: string;
  readonly clippy: string;
}[];
export declare const thisMachine: Machine;
export declare function unmetNeeds(task: string, machine?: Machine): readonly Need[];
export declare function packagesFor(
  unmet: readonly Need[],
  distribution: string,
  candidates: Candidates,
): { readonly packages: readonly string[]; readonly impossible: readonly Need[] };
export declare function parsePolicy(text: string): ReadonlyMap<string, string>;
export declare function aptCandidates(names: readonly string[]): ReadonlyMap<string, string>;
export declare function distribution(path?: string): { readonly id: string; readonly name: string };
