/** What a machine that continues from a memory image needs of it. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { MachineBinding, MemoryImage } from '../machine.ts';
import { bindingMismatch } from '../memory/binding.ts';
import type { MemoryDescriptors } from '../memory/memoryImage.ts';

/** @throws CoppiceError `memory_missing` when it was released, `invalid_input` for another engine's image */
export async function openResumeSource(image: MemoryImage): Promise<MemoryDescriptors> {
  const { SealedMemory } = await import('../memory/memoryImage.ts');
  if (image instanceof SealedMemory) return image.open();
  throw new CoppiceError({
    code: 'invalid_input',
    message: `The memory image ${image.id} is not one of this engine.`,
  });
}

/** @throws CoppiceError `snapshot_incompatible` naming what differs */
export function checkBinding(image: MemoryImage, present: MachineBinding): void {
  const mismatch = bindingMismatch(image.binding, present);
  if (mismatch === undefined) return;
  const { what, was, is } = mismatch;
  throw new CoppiceError({
    code: 'snapshot_incompatible',
    message: `The memory was kept with another ${what}: it was ${was}, here it is ${is}.`,
    next: 'Use the snapshot without its memory: the machine then boots from its disk.',
    details: { what, was, is },
  });
}
