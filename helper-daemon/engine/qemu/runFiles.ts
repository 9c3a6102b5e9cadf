/** Names of what one machine keeps in its run directory. */
import path from 'node:path';

export interface RunFiles {
  /** Control socket. */
  readonly qmp: string;
  /** Host end of the guest channel (virtio-serial). */
  readonly agent: string;
  /** Where frames of the network card come out, when that is its backend. */
  readonly network: string;
  readonly pidFile: string;
  /** The end of the console output, drained from the monitor's ring. */
  readonly console: string;
  /** A FIFO, see stderrPipe.ts. */
  readonly stderr: string;
}

export function runFiles(runDir: string): RunFiles {
  return {
    qmp: path.join(runDir, 'qmp.sock'),
    agent: path.join(runDir, 'agent.sock'),
    network: path.join(runDir, 'net.sock'),
    pidFile: path.join(runDir, 'qemu.pid'),
    console: path.join(runDir, 'console.log'),
    stderr: path.join(runDir, 'stderr.fifo'),
  };
}
