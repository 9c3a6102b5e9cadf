/** Settings of the daemon with their defaults. */

/** null: no limit. */
export interface QuotaLimits {
  readonly workspaces: number | null;
  readonly vcpus: number | null;
  readonly memoryMb: number | null;
  readonly diskGb: number | null;
}

export interface DaemonConfig {
  /** For each agent, and for each person. */
  readonly quota: { readonly agent: QuotaLimits; readonly person: QuotaLimits };
  readonly resources: {
    /** Of the whole host. */
    readonly maxWorkspaces: number;
    /** How many times the memory that is free may be promised to machines. */
    readonly memoryOvercommit: number;
  };
  readonly rateLimit: {
    readonly enabled: boolean;
    readonly createPerMinute: number;
    readonly execPerMinute: number;
    readonly teamMessagePerMinute: number;
    readonly defaultPerMinute: number;
    /** Whether people are limited, too. */
    readonly people: boolean;
  };
  readonly vault: {
    readonly enabled: boolean;
    /** Absolute; null: `vault` in the state directory. */
    readonly path: string | null;
    readonly extensions: readonly string[];
    readonly excludeDirs: readonly string[];
  };
  /** Directory that file_transfer may use; null: `transfers` in the state directory. */
  readonly transferDir: string | null;
  /** TCP port on 127.0.0.1 for Prometheus; null: none. */
  readonly metricsPort: number | null;
}

const unlimited: QuotaLimits = { workspaces: null, vcpus: null, memoryMb: null, diskGb: null };

export const defaultConfig: DaemonConfig = {
  quota: {
    agent: { workspaces: 10, vcpus: 32, memoryMb: 16_384, diskGb: 100 },
    person: unlimited,
  },
  resources: { maxWorkspaces: 1000, memoryOvercommit: 1 },
  rateLimit: {
    enabled: true,
    createPerMinute: 5,
    execPerMinute: 60,
    teamMessagePerMinute: 300,
    defaultPerMinute: 120,
    people: false,
  },
  vault: {
    enabled: true,
    path: null,
    extensions: ['md'],
    excludeDirs: ['.obsidian', '.trash', '.git'],
  },
  transferDir: null,
  metricsPort: null,
};
