import { CoppiceError } from '../../../protocol/errors.ts';
import type { ImageCatalogue } from '../../images/catalogue.ts';
import type { Handlers } from '../handlerTypes.ts';

type ImageHandlers = Pick<Handlers, 'image_list' | 'image_build' | 'image_import' | 'image_remove'>;

export function imageHandlers(images: ImageCatalogue): ImageHandlers {
  return {
    async image_list() {
      const { images: known, recipes } = images.list();
      return { images: known, recipes: await recipes };
    },
    image_build: ({ name, rebuild }, { signal, progress }) =>
      images.build(name, { rebuild: rebuild ?? false, signal, progress }),
    async image_import({ source, name }, { session, signal, progress }) {
      if (session.peerUid !== undefined) throw importNeedsRoot();
      return await images.import(source, name, { signal, progress });
    },
    async image_remove({ name }) {
      await images.remove(name);
      return { name };
    },
  };
}

/** The system daemon reads the source as root: a user could name a file that only root may read. */
function importNeedsRoot(): CoppiceError {
  return new CoppiceError({
    code: 'permission_denied',
    message: 'The system daemon imports images only for root.',
    next: 'Run it with sudo, or import into a daemon of your own (user mode).',
  });
}
