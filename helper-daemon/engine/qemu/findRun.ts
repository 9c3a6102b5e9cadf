/** Finds the process of a run when the daemon died before it could record which one it is. */
import fsp from 'node:fs/promises';
import type { MachineIdentity, RunRecord } from '../machine.ts';
import {
  commandLine,
  executableOf,
  findProcesses,
  isAlive,
  readProcessStat,
} from '../processIdentity.ts';
import { runFiles } from './runFiles.ts';

type Run = Omit<RunRecord, 'transport'>;

/** The living process of this run, if there is one. `program` is the resolved path of the monitor. */
export async function findRun(run: Run, program: string): Promise<MachineIdentity | undefined> {
  if (run.identity !== undefined) return isAlive(run.identity) ? run.identity : undefined;
  for (const pid of await candidates(run)) {
    const identity = identify(pid, run.runId, program);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

/** The pid file is only a hint (its owner may be hostile); without it every process is looked at. */
async function candidates(run: Run): Promise<number[]> {
  const file = runFiles(run.runDir).pidFile;
  const text = await fsp.readFile(file, 'latin1').catch(() => '');
  const hinted = Number(/^(\d{1,10})\s*$/.exec(text.slice(0, 32))?.[1] ?? 0);
  if (hinted > 1 && commandLine(hinted).includes(run.runId)) return [hinted];
  return findProcesses(['-uuid', run.runId]);
}

function identify(pid: number, runId: string, program: string): MachineIdentity | undefined {
  const stat = readProcessStat(pid);
  if (stat === undefined || stat.state === 'Z') return undefined;
  const line = commandLine(pid);
  if (line[line.indexOf('-uuid') + 1] !== runId) return undefined;
  // Still setpriv, or already the monitor itself.
  if (executableOf(pid) !== program && !line.includes(program)) return undefined;
  return { pid, startTime: stat.startTime, executable: program, runId };
}
