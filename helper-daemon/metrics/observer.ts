/** The metrics as the dispatcher's observer: they see every call begin and end, and those that are refused. */
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Operation } from '../../protocol/operation.ts';
import type { Metrics } from './metrics.ts';

interface MeteredCall {
  readonly operation: Operation;
  readonly input: Readonly<Record<string, unknown>>;
}

export interface MetricsObserver {
  begin(
    call: MeteredCall,
  ): (outcome: 'ok' | ErrorCode, durationMs: number, result?: unknown) => void;
  denied(call: MeteredCall, code: ErrorCode): void;
}

export function metricsObserver(metrics: Metrics): MetricsObserver {
  return {
    begin({ operation, input }) {
      const ended = metrics.callBegan(operation.name);
      return (outcome, durationMs, result) => ended(outcome, durationMs / 1000, { input, result });
    },
    denied: ({ operation }, code) => metrics.operationFinished(operation.name, code, 0),
  };
}
