/** `coppice.daemon.showLog`: the extension's own log. */
import type { Services } from '../../services.ts';

export async function showLog(services: Services): Promise<void> {
  services.log.show(true);
}
