/** `coppice.doctor`: what machines need on this computer, what is there and how to get the rest. */
import { doctorUri } from '../../documents/readOnlyDocuments.ts';
import type { Services } from '../../services.ts';

export async function runDoctor(services: Services): Promise<void> {
  await services.daemon.client();
  await services.documents.show(doctorUri);
}
