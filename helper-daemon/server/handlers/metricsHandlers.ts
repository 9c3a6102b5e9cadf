import type { Metrics } from '../../metrics/metrics.ts';
import type { Handlers } from '../handlerTypes.ts';

export function metricsHandlers(metrics: Metrics): Pick<Handlers, 'daemon_metrics'> {
  return {
    async daemon_metrics() {
      const { exposition } = await import('../../metrics/exposition.ts');
      const { contentType, text } = await exposition(metrics.snapshot());
      return { content_type: contentType, text };
    },
  };
}
