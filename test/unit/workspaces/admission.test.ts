import { describe, expect, it } from 'vitest';
import { availableMemoryMb, requireMemory } from '../../../helper-daemon/workspaces/admission.ts';
import type { WorkspaceServices } from '../../../helper-daemon/workspaces/services.ts';

type Promises = ReturnType<WorkspaceServices['runs']['promises']>;

function host(promises: Promises, memoryOvercommit = 1): Parameters<typeof requireMemory>[0] {
  return {
    runs: { promises: () => promises } as WorkspaceServices['runs'],
    memoryOvercommit,
  };
}

const available = availableMemoryMb();
/** What other programs may take while a test runs. */
const slack = Math.floor(available * 0.2);

describe('room for a machine', () => {
  it('is there while the host has memory that nobody was promised', () => {
    expect(() => requireMemory(host([]), 64)).not.toThrow();
    expect(() => requireMemory(host([]), available + slack)).toThrow(
      expect.objectContaining({ code: 'no_memory' }),
    );
  });

  it('is not there when machines that start were promised it, touched or not', () => {
    const promised = [{ memoryMb: available - slack, pid: null }];
    expect(() => requireMemory(host(promised), 2 * slack)).toThrow(
      expect.objectContaining({ code: 'no_memory' }),
    );
    expect(() => requireMemory(host(promised, 3), 2 * slack)).not.toThrow();
  });

  it('counts only what a machine has not taken yet', () => {
    const own = Math.floor(process.memoryUsage().rss / 1024 ** 2 / 4);
    // This process stands for a machine that has long touched what it was promised.
    const machines = Array.from({ length: 1000 }, () => ({ memoryMb: own, pid: process.pid }));
    expect(() => requireMemory(host(machines), 64)).not.toThrow();
    const starting = Array.from({ length: 1000 }, () => ({ memoryMb: available, pid: null }));
    expect(() => requireMemory(host(starting), 64)).toThrow(
      expect.objectContaining({ code: 'no_memory' }),
    );
  });
});
