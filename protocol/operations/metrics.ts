import * as z from 'zod';
import { defineOperation } from '../operation.ts';

export const daemonMetrics = defineOperation({
  name: 'daemon_metrics',
  summary: 'Show what the daemon has counted, as Prometheus text',
  description:
    'The same is served over HTTP on the loopback address where metrics.port is configured.',
  input: z.object({}),
  output: z.object({ content_type: z.string(), text: z.string() }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'metrics' },
});
