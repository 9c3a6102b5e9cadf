/** What the exit code of coppice means; docs and --help quote this. */
export const exitCodes = {
  ok: 0,
  /** A check failed (doctor, storage verify), nothing was made (fork), or there is nothing to report on. */
  negative: 1,
  /** fork: some copies were made and some not (EX_TEMPFAIL: what is missing can be tried again). */
  partial: 75,
  /** The command line was wrong. */
  usage: 2,
  /** exec, run: the command ran into its time limit. */
  timedOut: 124,
  /** Coppice itself failed; never the exit code that Coppice gives a command's own failure. */
  failed: 125,
  /** exec, run, shell: the program cannot be run, or does not exist. */
  notExecutable: 126,
  notFound: 127,
  /** exec, run, shell: 128 + n when signal n ended the command. */
  signalBase: 128,
} as const;

/** The exit code for how a command in a machine ended. */
export function exitCodeOf(exit: {
  readonly exit_code: number;
  readonly signal: number | null;
  readonly timed_out: boolean;
}): number {
  if (exit.timed_out) return exitCodes.timedOut;
  if (exit.signal !== null) return exitCodes.signalBase + exit.signal;
  return exit.exit_code >= 0 ? exit.exit_code : exitCodes.failed;
}
