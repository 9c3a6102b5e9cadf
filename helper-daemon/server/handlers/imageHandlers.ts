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
    image_import: ({ source, name }, { signal, progress }) =>
      images.import(source, name, { signal, progress }),
    async image_remove({ name }) {
      await images.remove(name);
      return { name };
    },
  };
}
