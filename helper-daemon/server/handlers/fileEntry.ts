/** A file of the guest as clients see it. */
import type { FileEntry } from '../../../protocol/operations/file.ts';
import { FileKind, type FileInfo } from '../../guest/gen/coppice/guest/v1/guest_pb.js';

export function fileEntry(info: FileInfo | undefined): FileEntry {
  if (info === undefined) throw new Error('the guest described no file');
  const isLink = info.kind === FileKind.SYMLINK;
  return {
    name: Buffer.from(info.name).toString('utf8'),
    kind: kindName(info.kind),
    size: Number(info.size),
    permissions: permissions(info.mode),
    modified: Math.floor(Number(info.modifiedNs) / 1e9),
    uid: info.uid,
    gid: info.gid,
    link_target: isLink ? Buffer.from(info.linkTarget).toString('utf8') : null,
    target_kind:
      isLink && info.targetKind !== FileKind.UNSPECIFIED ? kindName(info.targetKind) : null,
  };
}

function kindName(kind: FileKind): FileEntry['kind'] {
  if (kind === FileKind.FILE) return 'file';
  if (kind === FileKind.DIRECTORY) return 'dir';
  if (kind === FileKind.SYMLINK) return 'symlink';
  return 'other';
}

function permissions(mode: number): string {
  const letters = 'rwxrwxrwx';
  let text = '';
  for (let bit = 0; bit < 9; bit += 1) {
    text += (mode & (0o400 >> bit)) === 0 ? '-' : letters.charAt(bit);
  }
  return text;
}
