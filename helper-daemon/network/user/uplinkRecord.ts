/**
 * Which passt belongs to which run. It ends with its socket, but one that was busy at the moment its daemon was
 * killed has been seen to spin for ever instead: the next daemon ends it.
 */
import { readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Beside the run's directory, which belongs to the machine's account. */
function recordFile(runDir: string): string {
  return `${runDir}.uplink`;
}

export function recordUplink(runDir: string, pid: number): void {
  writeFileSync(recordFile(runDir), `${String(pid)} ${startTime(pid) ?? ''}`, { mode: 0o600 });
}

export function forgetUplink(runDir: string): void {
  rmSync(recordFile(runDir), { force: true });
}

/** Ends what an earlier daemon has left. */
export function endStrayUplink(runDir: string, program: string): void {
  let text: string;
  try {
    text = readFileSync(recordFile(runDir), 'utf8');
  } catch {
    return;
  }
  const [pid = '', started = ''] = text.split(' ');
  if (started !== '' && startTime(Number(pid)) === started && runs(Number(pid), program)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
  forgetUplink(runDir);
}

/** Field 22 of /proc/<pid>/stat; the name before it may hold blanks and parentheses. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** passt is a family of programs for different processors: passt.avx2 says that it is passt. */
function runs(pid: number, program: string): boolean {
  try {
    return basename(readlinkSync(`/proc/${String(pid)}/exe`)).startsWith(basename(program));
  } catch {
    return false;
  }
}
