/** The numbers as Prometheus text. Loaded only when somebody reads them. */
import { readdir } from 'node:fs/promises';
import { Counter, Gauge, Registry, type Metric } from 'prom-client';
import type { Histogram } from './recorder.ts';
import type { Snapshot } from './metrics.ts';

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export async function exposition(snapshot: Snapshot): Promise<Exposition> {
  const registry = new Registry();
  const registers = [registry];
  for (const { name, help, series } of snapshot.counters) {
    const all = series();
    const labelNames = Object.keys(all[0]?.labels ?? {});
    const metric = new Counter({ name, help, labelNames, registers });
    for (const { labels, value } of all) metric.inc(labels, value);
  }
  for (const one of snapshot.histograms) registry.registerMetric(asMetric(one));
  const gauge = (name: string, help: string, values: readonly Reading[]): void => {
    const labelNames = Object.keys(values[0]?.labels ?? {});
    const metric = new Gauge({ name, help, labelNames, registers });
    for (const { labels, value } of values) metric.set(labels, value);
  };
  for (const [name, help, values] of gaugesOf(snapshot)) gauge(name, help, values);
  for (const [name, help, value] of await processNumbers()) {
    if (name.endsWith('_total')) new Counter({ name, help, registers }).inc(value);
    else gauge(name, help, [{ labels: {}, value }]);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}

interface Reading {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

type GaugeRow = readonly [name: string, help: string, values: readonly Reading[]];

function gaugesOf({ readings, workspaces, underWay }: Snapshot): readonly GaugeRow[] {
  const { teams, pool, clients, locks } = readings;
  const by = (label: string, values: Iterable<readonly [string, number]>): Reading[] =>
    [...values].map(([key, value]) => ({ labels: { [label]: key }, value }));
  const plain = (value: number): Reading[] => [{ labels: {}, value }];
  return [
    ['coppice_workspaces', 'Workspaces by state', by('state', workspaces)],
    ['coppice_teams', 'Teams', plain(teams)],
    [
      'coppice_pool_machines',
      'Machines that are kept ready, and how many are wanted',
      by('state', [
        ['ready', pool.ready],
        ['wanted', pool.size],
      ]),
    ],
    ['coppice_clients', 'Connections of clients', plain(clients)],
    [
      'coppice_workspace_changes',
      'Changes of workspaces: under way, and waiting for another of the same workspace',
      by('state', Object.entries(locks)),
    ],
    ['coppice_operations_under_way', 'Calls that have not ended', by('operation', underWay)],
  ];
}

/**
 * A histogram is kept as numbers, not as observations, so it is shown by an object of our own: the registry asks
 * only for `get`.
 */
function asMetric({ name, help, bounds, series }: Histogram): Metric {
  const values = series().flatMap(({ labels, counts, sum }) => {
    let total = 0;
    const buckets = counts.map((count, index) => {
      total += count;
      const le = bounds[index] ?? '+Inf';
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: total },
    ];
  });
  const metric = { name, help, type: 'histogram', values, aggregator: 'sum' };
  return { name, get: () => Promise.resolve(metric) } as unknown as Metric;
}

/**
 * What prom-client's own defaults would tell of the process, without its watch of the event loop: that would wake
 * an idle daemon a hundred times a second.
 */
async function processNumbers(): Promise<readonly (readonly [string, string, number])[]> {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const files = await readdir('/proc/self/fd').catch(() => []);
  return [
    ['process_cpu_seconds_total', 'CPU time of the daemon', (user + system) / 1e6],
    ['process_resident_memory_bytes', 'Resident memory of the daemon', rss],
    ['process_heap_bytes', 'Heap of the daemon in use', heapUsed],
    ['process_open_fds', 'Open file descriptors of the daemon', files.length],
    [
      'process_start_time_seconds',
      'When the daemon started, in seconds since the epoch',
      Math.round(Date.now() / 1000 - process.uptime()),
    ],
  ];
}
