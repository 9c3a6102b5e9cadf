/** Changes of resources for clients of the newest revision, which have no session: one watcher for all of them. */
import {
  InMemoryServerEventBus,
  type ServerEvent,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import type { DaemonLink } from '../daemonLink.ts';
import { watchResources } from '../resources/watch.ts';

/** Follows the daemon's events only while somebody listens. */
export function watchingBus(open: () => DaemonLink): ServerEventBus & { close(): void } {
  const inner = new InMemoryServerEventBus();
  let link: DaemonLink | undefined;
  let listeners = 0;

  function stop(): void {
    link?.close();
    link = undefined;
  }

  return {
    publish: (event: ServerEvent) => inner.publish(event),
    subscribe(listener) {
      const leave = inner.subscribe(listener);
      listeners += 1;
      if (link === undefined) {
        link = open();
        void watchResources(link, {
          wants: () => true,
          updated: (uri) => inner.publish({ kind: 'resource_updated', uri }),
          listChanged: () => inner.publish({ kind: 'resources_list_changed' }),
        });
      }
      let left = false;
      return () => {
        if (left) return;
        left = true;
        leave();
        listeners -= 1;
        if (listeners === 0) stop();
      };
    },
    close: stop,
  };
}
