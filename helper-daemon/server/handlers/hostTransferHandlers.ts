import { CoppiceError } from '../../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { CallContext, Handlers } from '../handlerTypes.ts';
import { writeMessages } from './fileHandlers.ts';
import { callGuest, pathBytes } from './guestCall.ts';
import { hostError, transferDirectory, type TransferDirectory } from './transferDirectory.ts';

type Input = ParsedInputOf<'file_transfer'>;
type Output = OutputOf<'file_transfer'>;

const chunkBytes = 256 * 1024;
const progressEveryMs = 500;
/** What files that say they are empty, as those of /proc do, may hold all the same. */
const unannouncedBytes = 16 * 1024 * 1024;

/** @param configured the directory of the settings; null: one in the state directory */
export function hostTransferHandlers(
  services: WorkspaceServices,
  configured: string | null,
): Pick<Handlers, 'file_transfer'> {
  const directory = transferDirectory(services.paths, configured);
  return {
    file_transfer: (input, context) =>
      input.direction === 'upload'
        ? upload(services, directory, input, context)
        : download(services, directory, input, context),
  };
}

async function upload(
  services: WorkspaceServices,
  directory: TransferDirectory,
  input: Input,
  context: CallContext,
): Promise<Output> {
  const source = await directory.source(context.caller, input.host_path);
  const moved = progressOf(context, source.size);
  let hostProblem: CoppiceError | undefined;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < source.size;) {
        const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, source.size - at));
        const { bytesRead } = await source.handle.read(buffer, 0, buffer.length, at);
        // Shorter than it was: the machine gets less than was announced and keeps nothing.
        if (bytesRead === 0) return;
        at += bytesRead;
        moved(at);
        yield buffer.subarray(0, bytesRead);
      }
    } catch (error) {
      throw (hostProblem = hostError(error, source.path));
    }
  }
  try {
    const header = {
      path: pathBytes(input.guest_path),
      parents: true,
      atomic: true,
      size: BigInt(source.size),
      mode: source.mode,
    };
    const { bytes } = await callGuest(
      services,
      input.workspace_id,
      context.signal,
      ({ file }, options) => file.write(writeMessages(header, chunks()), options),
    );
    return described(input, source.path, Number(bytes));
  } catch (error) {
    throw hostProblem ?? error;
  } finally {
    await source.handle.close();
  }
}

async function download(
  services: WorkspaceServices,
  directory: TransferDirectory,
  input: Input,
  context: CallContext,
): Promise<Output> {
  return await callGuest(
    services,
    input.workspace_id,
    context.signal,
    async ({ file }, options): Promise<Output> => {
      const arriving = await directory.arriving(context.caller, input.host_path);
      try {
        let bytes = 0;
        let most = 0;
        let mode = 0;
        let moved = progressOf(context, 0);
        const request = { path: pathBytes(input.guest_path), offset: 0n, limit: 0n };
        for await (const { part } of file.read(request, options)) {
          if (part.case === 'info') {
            const size = Number(part.value.size);
            most = Math.max(size, unannouncedBytes);
            mode = part.value.mode;
            moved = progressOf(context, size);
            await requireDisk(arriving.path.slice(0, arriving.path.lastIndexOf('/')), size);
          } else if (part.case === 'data') {
            bytes += part.value.length;
            if (bytes > most) throw endless(input);
            await arriving.handle.appendFile(part.value).catch((error: unknown) => {
              throw hostError(error, arriving.path);
            });
            moved(bytes);
          }
        }
        await arriving.keep(mode);
        return described(input, arriving.path, bytes);
      } finally {
        await arriving.dispose();
      }
    },
  );
}

function described(input: Input, hostPath: string, bytes: number): Output {
  return {
    direction: input.direction,
    host_path: hostPath,
    guest_path: input.guest_path,
    bytes,
  };
}

/** Says now and then how far it is. */
function progressOf({ progress }: CallContext, size: number): (bytes: number) => void {
  let said = performance.now();
  return (bytes) => {
    if (performance.now() - said < progressEveryMs) return;
    said = performance.now();
    const mib = (bytes / 1024 ** 2).toFixed(1);
    progress(`${mib} MiB moved`, size === 0 ? undefined : Math.min(1, bytes / size));
  };
}

/** A machine must not be able to fill this host's disk. */
function endless({ guest_path }: Input): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `${guest_path} gave more than it said it holds; nothing was kept.`,
    next: 'Copy it to a plain file in the machine first, then download that.',
  });
}
