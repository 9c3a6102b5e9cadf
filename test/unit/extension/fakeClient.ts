/** A client that does what a test says; the real daemon is used wherever a machine may run. */
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { EventEnvelope, SubscribeResult } from '../../../protocol/events.ts';
import type { WorkspaceSummary } from '../../../protocol/operations/workspaceModel.ts';

export interface FakeClient extends CoppiceClient {
  /** As if the connection had ended. */
  drop(): void;
  emit(event: EventEnvelope): void;
  readonly calls: readonly string[];
  /** The cursor of the last subscription. */
  readonly subscribedFrom: string | undefined;
  closed: boolean;
}

export interface FakeAnswers {
  readonly list?: () => Promise<readonly WorkspaceSummary[]>;
  readonly subscription?: SubscribeResult;
}

export function fakeClient(answers: FakeAnswers = {}): FakeClient {
  const closeListeners: (() => void)[] = [];
  const calls: string[] = [];
  let listener: ((event: EventEnvelope) => void) | undefined;
  let subscribedFrom: string | undefined;
  const fake = {
    socketPath: '/nowhere/coppice.sock',
    server: {
      protocol: 1,
      server: { name: 'coppiced', version: '0.0.0', pid: 1 },
      mode: 'user',
      capabilities: [],
    },
    closed: false,
    calls,
    get subscribedFrom() {
      return subscribedFrom;
    },
    call: async (name: string) => {
      calls.push(name);
      return (await answers.list?.()) ?? [];
    },
    subscribe: async (onEvent: (event: EventEnvelope) => void, cursor?: string) => {
      listener = onEvent;
      subscribedFrom = cursor;
      return answers.subscription ?? { cursor: 'a:0', reset: false };
    },
    onClose: (tell: () => void) => closeListeners.push(tell),
    close: () => (fake.closed = true),
    drop: () => closeListeners.forEach((tell) => tell()),
    emit: (event: EventEnvelope) => listener?.(event),
  };
  return fake as unknown as FakeClient;
}

export function summary(name: string, facts: Partial<WorkspaceSummary> = {}): WorkspaceSummary {
  return {
    workspace_id: `id-of-${name}`,
    name,
    state: 'running',
    ip: null,
    base_image: 'debian-dev',
    resources: { vcpus: 2, memory_mb: 512, disk_gb: 10 },
    created_at: '2026-01-01T00:00:00Z',
    owner: null,
    ephemeral: false,
    snapshot: null,
    forked_from: null,
    expires_at: null,
    problem: null,
    ...facts,
  };
}

export function changed(cursor: string, workspace: WorkspaceSummary): EventEnvelope {
  return { cursor, at: '2026-01-01T00:00:00Z', event: { type: 'workspace_changed', workspace } };
}

export function removed(cursor: string, name: string): EventEnvelope {
  const event = { type: 'workspace_removed', workspace_id: `id-of-${name}`, name } as const;
  return { cursor, at: '2026-01-01T00:00:00Z', event };
}
