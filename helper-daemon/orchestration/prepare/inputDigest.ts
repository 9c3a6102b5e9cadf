import { createHash } from 'node:crypto';
import type { PrepareInput } from './host.ts';

/** Everything that decides what the machine becomes; how long it may take does not. */
export function inputDigest(input: PrepareInput): string {
  const decisive = [
    input.base_image ?? null,
    input.git_url ?? null,
    input.setup_commands ?? [],
    input.vcpus ?? null,
    input.memory_mb ?? null,
    input.disk_gb ?? null,
  ];
  return createHash('sha256').update(JSON.stringify(decisive)).digest('hex');
}
