/** The part of the quickstart that reaches a machine, and shows that it reaches nothing by itself. */
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../protocol/errors.ts';
import type { Stage } from './quickstartSnapshots.ts';

const guestPort = 8080;
const page = 'served by a machine that reaches nobody';
const serve = `mkdir -p /srv/www && echo '${page}' > /srv/www/index.html && exec python3 -m http.server ${String(guestPort)} --bind 127.0.0.1 --directory /srv/www`;
const stranger = 'example.com';
const patienceMs = 30_000;

export async function reachAndBeDenied(stage: Stage): Promise<void> {
  await forwardPort(stage);
  await tryToReach(stage);
}

async function forwardPort({ client, machine, signal, step, show }: Stage): Promise<void> {
  const { host_port, text } = await step(
    'A server in the machine, reached from this host',
    async () => {
      await client.call('process_start', { workspace_id: machine, command: serve });
      const forward = await client.call('port_forward_add', {
        workspace_id: machine,
        guest_port: guestPort,
      });
      return { ...forward, text: await whenReady(forward.host_port, signal) };
    },
    (forward) => `localhost:${String(forward.host_port)} → ${String(guestPort)}`,
  );
  show(`curl http://localhost:${String(host_port)}/`, text);
}

async function whenReady(port: number, signal: AbortSignal): Promise<string> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      const response = await fetch(`http://127.0.0.1:${String(port)}/`, { signal });
      return await response.text();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(100, undefined, { signal });
    }
  }
}

async function tryToReach({ client, machine, signal, step, show }: Stage): Promise<void> {
  const command = `curl -sS -m 10 http://${stranger}/`;
  const tried = await step(
    'What the machine reaches',
    async () => {
      const { exit_code } = await client.call(
        'exec',
        { workspace_id: machine, command },
        { signal },
      );
      const denied = await client.call('network_log', { workspace_id: machine });
      if (exit_code === 0 || denied.every(({ destination }) => destination !== stranger)) {
        throw new CoppiceError({
          code: 'command_failed',
          message: 'The machine was to reach nothing, and Coppice to tell what it tried.',
        });
      }
      return denied;
    },
    () => 'nothing, as it should',
  );
  show(
    'coppice network log',
    tried.map(({ destination, reason }) => `${destination}: ${reason}`).join('\n'),
  );
}
