/**
 * What the daemon tells its clients without being asked. Events carry a cursor; a client that reconnects
 * gives its last one and gets what it missed, or is told to look again (`reset`).
 */
import * as z from 'zod';
import { imageInfo } from './operations/image.ts';
import { listeningPort, networkPolicy, portForward } from './operations/networkModel.ts';
import { snapshotInfo } from './operations/snapshotModel.ts';
import { workspaceSummary } from './operations/workspaceModel.ts';

export const coppiceEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('workspace_changed'), workspace: workspaceSummary }),
  z.object({ type: z.literal('workspace_removed'), workspace_id: z.uuid(), name: z.string() }),
  z.object({ type: z.literal('snapshot_changed'), snapshot: snapshotInfo }),
  z.object({
    type: z.literal('snapshot_removed'),
    workspace_id: z.uuid(),
    snapshot_id: z.uuid(),
    name: z.string(),
  }),
  z.object({
    type: z.literal('network_changed'),
    workspace_id: z.uuid(),
    network_policy: networkPolicy,
  }),
  z.object({
    type: z.literal('ports_changed'),
    workspace_id: z.uuid(),
    port_forwards: z.array(portForward),
    listening: z.array(listeningPort),
  }),
  z.object({ type: z.literal('image_changed'), image: imageInfo }),
  z.object({ type: z.literal('image_removed'), name: z.string() }),
  z.object({
    type: z.literal('audit_appended'),
    last_seq: z.int().describe('Newest row; once a second at most'),
  }),
]);
export type CoppiceEvent = z.infer<typeof coppiceEvent>;

/** `<daemon instance>:<sequence number>`; opaque to clients. */
export type EventCursor = string;

export interface EventEnvelope {
  readonly cursor: EventCursor;
  readonly at: string;
  readonly event: CoppiceEvent;
}

export interface SubscribeResult {
  readonly cursor: EventCursor;
  /** Events were missed that are no longer kept: list everything again. */
  readonly reset: boolean;
}
