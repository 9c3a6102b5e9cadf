/** Bounds on what comes from outside. One place, so that docs, schemas and checks cannot disagree. */
export const limits = {
  nameLength: 128,
  descriptionLength: 1024,
  pathBytes: 4096,
  commandBytes: 1024 * 1024,
  envEntries: 1024,
  vcpus: { min: 1, max: 32, default: 2 },
  memoryMb: { min: 64, max: 131_072, default: 512 },
  diskGb: { min: 1, max: 4096, default: 10 },
  snapshots: { max: 1024 },
  forkCount: { max: 100 },
  poolSize: { max: 100 },
  /** Entries of one allow-list. */
  networkTargets: { max: 256 },
  portForwards: { max: 256 },
  /** Lower ones are the host's. */
  hostPort: { min: 1024 },
  bandwidthMbit: { max: 100_000 },
  /** Different things a machine was denied that are kept. */
  denials: { max: 1000 },
  diffEntries: { max: 100_000, default: 10_000 },
  /** Of time to live and of idle time before a suspend. */
  lifetimeSecs: { max: 366 * 24 * 3600 },
  /** Bytes kept per output stream of a captured command. */
  outputBytes: { max: 8 * 1024 * 1024, default: 262_144 },
  timeoutSecs: { max: 30 * 24 * 3600, default: 120 },
  /** Of each command of exec_parallel where none is given. */
  parallelTimeoutSecs: 300,
  waitSecs: { max: 300 },
  /** Text files handled in one JSON reply; larger ones travel as streams. */
  textFileBytes: 4 * 1024 * 1024,
  logLines: { max: 10_000, default: 100 },
  /** One JSON-RPC message, header excluded. */
  rpcFrameBytes: 24 * 1024 * 1024,
  rpcHeaderBytes: 1024,
  /** Payload of one frame of a byte stream. */
  streamFrameBytes: 1024 * 1024,
  /** Events kept for clients that reconnect. */
  eventBacklog: 10_000,
} as const;
